//! Text from elsewhere on a terminal: names of files, folders and people may hold anything, and must not move the cursor, change
//! colours, turn the reading direction around or begin a new line.

use std::fmt::Write;

/// Whether a terminal or a reader could be misled by this character: controls, line and paragraph separators, characters that turn the
/// direction around, that have no width, or that carry hidden text.
pub(crate) fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with misleading characters written out, like `\u{202e}`.
pub(crate) fn clean(text: &str) -> String {
    escape(text, |_| false)
}

/// The same for text of several lines that we wrote ourselves.
pub(crate) fn clean_lines(text: &str) -> String {
    escape(text, |c| c == '\n')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if misleads(c) && !keep(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// JSON with misleading characters as `\uXXXX`: the same value to a program, harmless on a terminal.
pub(crate) fn clean_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if misleads(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a string can not fail");
            }
        } else {
            out.push(c);
        }
        out
    })
}

/// Rows as columns, each as wide as its widest cell; nothing for no rows.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..header.len())
        .map(|i| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|cell| width(cell))
                .chain([width(header[i])])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            write!(line, "{cell:<width$}  ").expect("writing to a string can not fail");
        }
        format!("{}\n", line.trim_end())
    };
    let head = line(header.to_vec());
    rows.iter().fold(head, |text, row| text + &line(row.iter().map(String::as_str).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l12_x11_names_can_not_mislead_a_terminal() {
        for (name, shown) in [
            ("plain näme 文 😀.txt", "plain näme 文 😀.txt"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("one\nok: 2", "one\\nok: 2"),
            ("cr\rok", "cr\\rok"),
            ("exe\u{202e}txt.doc", "exe\\u{202e}txt.doc"),
            ("a\u{200b}b\u{2066}c\u{feff}", "a\\u{200b}b\\u{2066}c\\u{feff}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ] {
            assert_eq!(clean(name), shown);
        }
        assert_eq!(clean_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn x11_json_stays_the_same_value_and_harmless() {
        let name = "a\u{1b}[0m\u{202e}b\u{9b}\u{e0041}\nc";
        let json = clean_json(&serde_json::to_string(name).unwrap());
        assert!(!json.chars().any(misleads), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["docs".into(), "1".into()], vec!["größer".into(), "22".into()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME    N\ndocs    1\ngrößer  22\n");
        assert_eq!(table(&["NAME"], &[]), "");
    }
}
