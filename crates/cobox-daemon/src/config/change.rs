//! Sets one setting in the text of a settings file and leaves all the rest, a person's comments too, as it stands. Pure.

use std::collections::BTreeMap;

use toml::{Spanned, Value};

/// The text with the setting set: in its place if it is set there, else beneath the line that shows its default, else at the end.
///
/// Errors: the text is no TOML.
pub(super) fn set(text: &str, key: &str, value: &Value) -> Result<String, toml::de::Error> {
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let settings: BTreeMap<String, Spanned<Value>> = toml::from_str(text)?;
    if let Some(set) = settings.get(key) {
        let place = set.span();
        return Ok(format!("{mark}{}{value}{}", &text[..place.start], &text[place.end..]));
    }
    let line = format!("{key} = {value}\n");
    let shown = |line: &str| {
        let name = line.trim_start().strip_prefix('#').and_then(|rest| rest.trim_start().strip_prefix(key));
        name.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let mut out = mark.to_owned();
    let mut is_set = false;
    for one in text.split_inclusive('\n') {
        out.push_str(one);
        if !is_set && shown(one) {
            end_line(&mut out);
            out.push_str(&line);
            is_set = true;
        }
    }
    if !is_set {
        end_line(&mut out);
        out.push_str(&line);
    }
    Ok(out)
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with(['\n', '\u{feff}']) {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn lines(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| Value::String((*word).into())).collect())
    }

    #[test]
    fn what_is_set_is_replaced_in_its_place_and_the_rest_stays() {
        let text = "# mine\nlog = 'info' # loud\nschedule = [\n  'a', # b\n]\nsend_max_bytes_s = 0\n";
        let text = set(text, "schedule", &lines(&["22:00-06:00 unlimited", "\"x\""])).unwrap();
        let text = set(&text, "send_max_bytes_s", &Value::Integer(50_000)).unwrap();
        assert_eq!(
            text,
            "# mine\nlog = 'info' # loud\nschedule = [\"22:00-06:00 unlimited\", '\"x\"']\nsend_max_bytes_s = 50000\n"
        );
    }

    #[test]
    fn what_is_not_set_comes_beneath_its_default_or_to_the_end() {
        let text = set(&example(), "limits_on_lan", &Value::Boolean(true)).unwrap();
        assert!(text.contains("\n#limits_on_lan = false\nlimits_on_lan = true\n"), "{text}");
        assert_eq!(set("", "log", &Value::String("debug".into())).unwrap(), "log = \"debug\"\n");
        assert_eq!(set("# x", "brake_files", &Value::Integer(1)).unwrap(), "# x\nbrake_files = 1\n");
        // A longer name is another setting.
        let text = set("#brake_files_free = 2\n", "brake_files", &Value::Integer(1)).unwrap();
        assert_eq!(text, "#brake_files_free = 2\nbrake_files = 1\n");
    }

    #[test]
    fn a_byte_order_mark_and_other_line_ends_stay() {
        let text = set("\u{feff}log = 'info'\r\nbrake_files = 3\r\n", "log", &Value::String("warn".into())).unwrap();
        assert_eq!(text, "\u{feff}log = \"warn\"\r\nbrake_files = 3\r\n");
        assert!(set("= 3", "log", &Value::Integer(1)).is_err());
    }
}
