//! What stands in files that a person or another program writes, and what is sent to the local API.

use std::path::Path;

use cobox_core::path::FolderPath;
use cobox_daemon::api::dto as daemon;
use cobox_daemon::disk_tree::Ignore;
use cobox_seeder::dto as seeder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The settings of both programs; what is wrong is told in one line that names the file.
pub(crate) fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = cobox_daemon::Config::parse(Path::new("config.toml"), &text) {
        assert!(error.to_string().starts_with("config.toml"), "{error}");
    }
    if let Err(error) = cobox_seeder::Config::parse(&text) {
        assert!(!error.contains('\n'), "{error}");
    }
}

/// `.cobox-ignore`: a line that is no pattern is named, the others hold, and matching never fails.
pub(crate) fn ignore(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let rules = Ignore::parse(&text);
    let lines = text.lines().count();
    assert!(rules.bad_patterns().iter().all(|bad| bad.line <= lines));
    let deepest = text.lines().next_back().unwrap_or_default();
    for path in ["a", "a/b.txt", "deep/er/x~", deepest] {
        if let Ok(path) = FolderPath::parse(path) {
            let as_dir = rules.is_ignored(&path, true);
            for below in path.descent().skip(1) {
                let parent = below.parent().unwrap_or_default();
                assert!(!rules.is_ignored(&parent, true) || as_dir, "what lies in an ignored directory is ignored");
            }
        }
    }
}

fn same<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let again = serde_json::to_vec(&value).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<T>(&again).ok(), Some(value));
    }
}

/// Bodies of requests to the daemon and to the seeder.
pub(crate) fn api(bytes: &[u8]) {
    same::<daemon::CreateRequest>(bytes);
    same::<daemon::JoinRequest>(bytes);
    same::<daemon::LeaveRequest>(bytes);
    same::<daemon::WaitRequest>(bytes);
    same::<daemon::HeldRequest>(bytes);
    same::<daemon::BackupAddRequest>(bytes);
    same::<daemon::InviteRequest>(bytes);
    same::<seeder::OfferRequest>(bytes);
    same::<seeder::CheckRequest>(bytes);
    drop(serde_json::from_slice::<daemon::RecoverRequest>(bytes));
    drop(serde_json::from_slice::<daemon::LoginRequest>(bytes));
}
