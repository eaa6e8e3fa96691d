//! Paths and folders as typed, made into what the service understands: it does not know where we stand.

use std::path::{Path, PathBuf};

use crate::error::Failure;

/// An absolute path as text. What exists is resolved, so that the same place always has the same name.
pub(crate) fn absolute(path: &Path) -> Result<String, Failure> {
    let whole = resolve(path).map_err(|error| Failure::io(&format!("{} can not be used", path.display()), &error))?;
    whole.into_os_string().into_string().map_err(|path| {
        Failure::usage(format!("the path {} is not UTF-8 text", Path::new(&path).display()), "rename it")
    })
}

fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let whole = std::path::absolute(path)?;
    match (whole.parent().map(Path::canonicalize), whole.file_name()) {
        (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
        _ => Ok(whole),
    }
}

/// A folder as typed: what looks like a path becomes absolute, a name or id stays.
pub(crate) fn folder(typed: &str) -> Result<String, Failure> {
    if typed.contains('/') || typed == "." || typed == ".." { absolute(Path::new(typed)) } else { Ok(typed.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_paths_become_whole() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let here = here.to_str().unwrap();
        assert_eq!(folder("docs").unwrap(), "docs");
        assert_eq!(folder(".").unwrap(), here);
        assert_eq!(folder("./src/").unwrap(), format!("{here}/src"));
        assert_eq!(folder("src/../nowhere").unwrap(), format!("{here}/nowhere"));
        assert_eq!(folder("/no/such/place").unwrap(), "/no/such/place");
    }
}
