//! What the web page alone asks for: its own memory, directories to choose from, another name, a look at a folder on this screen.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::Daemon;
use super::{failed, folder_name};
use crate::api::dto::{FolderReply, PageSettings, Place, PlaceRequest, RenameRequest};
use crate::api::{ApiError, ErrorCode};
use crate::{desktop, files};

/// Directories that are listed at once: more than a person looks through.
const DIRECTORIES_MAX: usize = 2_000;
/// In the home's `state`.
const SETTINGS: &str = "page.json";

impl Daemon {
    pub(super) async fn read_page_settings(&self) -> Result<PageSettings, ApiError> {
        let path = self.home.state().join(SETTINGS);
        // Nothing depends on them: what can not be read is as if it had never been chosen.
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await.map_err(failed)?;
        Ok(read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    pub(super) async fn write_page_settings(&self, settings: PageSettings) -> Result<PageSettings, ApiError> {
        let path = self.home.state().join(SETTINGS);
        let bytes = serde_json::to_vec(&settings).map_err(failed)?;
        let written = tokio::task::spawn_blocking(move || files::replace(&path, &bytes).map_err(|why| (path, why)));
        written.await.map_err(failed)?.map_err(|(path, why)| refused(&path, &why))?;
        Ok(settings)
    }

    pub(super) async fn take_name(&self, request: RenameRequest) -> Result<(), ApiError> {
        {
            let mut identity = self.identity.write().expect("no thread panics while it holds this lock");
            identity
                .rename(&self.home, &request.name)
                .map_err(|why| ApiError::new(ErrorCode::BadRequest, why.to_string()).hint("give another name"))?;
        }
        self.write_vault().await;
        Ok(())
    }

    pub(super) async fn list_place(&self, path: Option<String>) -> Result<Place, ApiError> {
        let path = match path {
            Some(path) => PathBuf::from(path),
            None => std::env::var_os("HOME").map(PathBuf::from).filter(|p| p.is_absolute()).unwrap_or("/".into()),
        };
        tokio::task::spawn_blocking(move || list(&path)).await.map_err(failed)?
    }

    pub(super) async fn make_directory(&self, request: PlaceRequest) -> Result<Place, ApiError> {
        let path = Path::new(&request.parent).join(&request.name);
        let made = tokio::task::spawn_blocking(move || {
            let made = std::fs::DirBuilder::new().mode(files::persons_mode(0o777)).create(&path);
            made.map_err(|why| refused(&path, &why))?;
            list(&path)
        });
        made.await.map_err(failed)?
    }

    pub(super) async fn show_folder(&self, folder: String) -> Result<FolderReply, ApiError> {
        let running = self.find(&folder)?;
        let folder = folder_name(&running);
        let path = folder.path.clone();
        let shown = tokio::task::spawn_blocking(move || desktop::open(OsStr::new(&path))).await.map_err(failed)?;
        shown.map_err(|why| {
            ApiError::new(ErrorCode::NoScreen, format!("this computer's screen can not show it: {why}"))
                .hint(format!("look at {} yourself", folder.path))
        })?;
        Ok(FolderReply { folder, already: false })
    }
}

/// A place that is another's, or none, is a matter of which place was chosen; anything else is the disk's.
fn refused(path: &Path, why: &io::Error) -> ApiError {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let code = match why.kind() {
        NotFound | NotADirectory | AlreadyExists | PermissionDenied | ReadOnlyFilesystem | InvalidInput
        | InvalidFilename => ErrorCode::PathUnsuitable,
        _ => ErrorCode::Disk,
    };
    ApiError::new(code, format!("{}: {why}", path.display())).hint("choose another directory")
}

/// The directories in one, links to directories too. Names that are no text can be no folder of ours and are left out.
fn list(path: &Path) -> Result<Place, ApiError> {
    let mut directories = Vec::new();
    let mut more = false;
    for entry in std::fs::read_dir(path).map_err(|why| refused(path, &why))? {
        let entry = entry.map_err(|why| refused(path, &why))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || !std::fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()) {
            continue;
        }
        more = directories.len() == DIRECTORIES_MAX;
        if more {
            break;
        }
        directories.push(name);
    }
    directories.sort_by_key(|name| (name.to_lowercase(), name.clone()));
    let parent = path.parent().map(|parent| parent.display().to_string());
    Ok(Place { path: path.display().to_string(), parent, directories, more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_listed_by_name_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "A", ".hidden"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let place = list(dir.path()).unwrap();
        assert_eq!(place.directories, ["A", "b"]);
        assert_eq!(place.parent, dir.path().parent().map(|p| p.display().to_string()));
        assert!(!place.more);
        assert_eq!(list(Path::new("/")).unwrap().parent, None);
        for none in ["none", "file", "A/none"] {
            assert_eq!(list(&dir.path().join(none)).unwrap_err().code, ErrorCode::PathUnsuitable, "{none}");
        }
    }
}
