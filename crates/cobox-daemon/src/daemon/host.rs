//! The daemon as the network sees it: which folders are here, and where their messages go.

use cobox_net::{Admitted, Host, Inbox, Knock, Opener, Post};
use cobox_proto::id::{FolderId, OfferId, SigKey};
use cobox_proto::wire::{FoundFolder, Party};
use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{Daemon, now_ms};
use crate::api::dto::Time;
use crate::api::{EventKind, News};
use crate::folder::{FolderConfig, Happened};

impl Host for Daemon {
    fn party(&self) -> Party {
        Party::Member
    }

    fn folder_called(&self, is_it: &dyn Fn(&FolderId) -> bool) -> Option<FolderId> {
        self.folders.read().expect("no thread panics while it holds this lock").keys().find(|id| is_it(id)).copied()
    }

    fn inbox(&self, folder: &FolderId) -> Option<Inbox> {
        let guests = self.guests.read().expect("no thread panics while it holds this lock");
        guests.get(folder).cloned().or_else(|| self.running_folder(folder).map(|running| running.handle.inbox))
    }

    fn offer_secret(&self, _: OfferId) -> BoxFuture<'_, Option<[u8; 16]>> {
        ready(None).boxed()
    }

    fn claimed(&self, _: OfferId, _: FolderId) -> BoxFuture<'_, Option<Admitted>> {
        ready(None).boxed()
    }

    fn find(&self, _: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>> {
        // A member's device knows its folders' members too, but recovery asks seeders: they are there when devices are not.
        ready(Vec::new()).boxed()
    }

    fn greet(&self, remote: SigKey, opener: Opener) {
        self.links.add(remote, opener);
        self.to_call.notify_one();
    }

    fn parted(&self, remote: SigKey) {
        self.links.forget(&remote);
        self.to_call.notify_one();
    }

    fn post(&self) -> Option<&Post> {
        Some(&self.post)
    }

    /// On a task of its own: an invite that is being made is made, also when whoever asks does not wait for it.
    fn knocked(&self, knock: Knock) -> BoxFuture<'_, Option<Vec<u8>>> {
        let daemon = self.me.upgrade();
        async move {
            let daemon = daemon?;
            tokio::spawn(async move { daemon.heard_words(knock).await }).await.ok().flatten()
        }
        .boxed()
    }
}

impl Daemon {
    /// A folder says that something happened.
    pub(super) fn happened(&self, config: &FolderConfig, what: Happened) {
        use cobox_core::engine::Event;
        let news = |kind, text: String| News::new(kind, text).folder(config.id.clone());
        let name = &config.name;
        let news = match what {
            Happened::Engine(Event::Applied { path }) => {
                news(EventKind::FilesReceived, format!("{name}: {path} arrived")).path(path.to_string())
            }
            Happened::Engine(Event::Committed { changed, removed }) => {
                news(EventKind::FolderChanged, format!("{name}: {changed} changed and {removed} removed here"))
            }
            Happened::Engine(Event::Joined { .. }) => {
                news(EventKind::FolderChanged, format!("{name}: changes of others"))
            }
            Happened::Engine(Event::Conflict { path }) => {
                news(EventKind::Conflict, format!("{name}: two versions of {path}")).path(path.to_string())
            }
            Happened::Engine(Event::Held { files }) => {
                news(EventKind::Held, format!("{name}: {files} files look deleted; this is held until you decide"))
            }
            Happened::Engine(Event::Resealed { left_out: 0 }) => {
                news(EventKind::FolderChanged, format!("{name}: all that is on this computer is under the new keys"))
            }
            Happened::Engine(Event::Resealed { left_out }) => {
                let text = format!(
                    "{name}: the contents are under the new keys, but for {left_out} files that could not be read"
                );
                news(EventKind::FolderChanged, text)
            }
            // The folder tells it as a problem, with the device.
            Happened::Engine(Event::BadHead { .. }) => return,
            Happened::Engine(Event::Duplicated { .. }) => news(
                EventKind::Problem,
                format!("{name}: this device seems to be duplicated: another copy of its home writes"),
            ),
            Happened::Out => news(
                EventKind::Problem,
                format!("{name}: you are no member of this folder any more; your files stay as they are"),
            ),
            Happened::SetAside { path, to } => {
                let text = format!(
                    "{name}: {path} was changed here, where you may only read, and by others; yours is in {}",
                    to.display()
                );
                news(EventKind::Conflict, text).path(path.to_string())
            }
            Happened::MemberJoined { name: who, key } => {
                news(EventKind::MemberJoined, format!("{name}: {who} belongs to it now")).who(key.to_string())
            }
            Happened::JoinWaiting { name: who, key } => {
                let text = format!("{name}: {who} asks to be let in: `cobox joins list`");
                news(EventKind::JoinWaiting, text).who(key.to_string())
            }
            Happened::Editing { name: who, key, path, open } => {
                let what = if open { "has it open" } else { "has it open no more" };
                news(EventKind::Editing, format!("{name}: {path}: {who} {what}"))
                    .path(path.to_string())
                    .who(key.to_string())
            }
            Happened::ForgetAsked { name: who, path, counts_at_ms } => {
                let what = path.as_deref().unwrap_or("something that is deleted");
                let from = Time::from_ms(counts_at_ms.try_into().unwrap_or(i64::MAX));
                let text = format!("{name}: {who} has {what} removed from history, from {from} on: `cobox forget`");
                match path {
                    Some(path) => news(EventKind::ForgetAsked, text).path(path),
                    None => news(EventKind::ForgetAsked, text),
                }
            }
            Happened::ForgetWithdrawn => news(
                EventKind::ForgetWithdrawn,
                format!("{name}: something stays in history after all: `cobox forget`"),
            ),
            Happened::BackupComplete { seeder } => {
                news(EventKind::BackupComplete, format!("{name}: the newest state is backed up"))
                    .who(seeder.to_string())
            }
            Happened::ConfigChanged => {
                self.note_config(config.clone());
                return self.seeders_changed.notify_one();
            }
            Happened::PeersChanged => {
                self.seeders_changed.notify_one();
                self.to_call.notify_one();
                news(EventKind::FolderChanged, format!("{name}: somebody came or went"))
            }
            Happened::Problem { message } => news(EventKind::Problem, format!("{name}: {message}")),
        };
        self.events.publish(news);
    }

    /// When a key was last connected.
    pub(super) fn last_seen(&self, key: &SigKey) -> Option<u64> {
        self.last_seen_ms.read().expect("no thread panics while it holds this lock").get(key).copied()
    }

    /// Notes keys that are connected now.
    pub(super) fn note_seen(&self, keys: &[SigKey]) {
        let mut seen = self.last_seen_ms.write().expect("no thread panics while it holds this lock");
        let now = now_ms();
        for key in keys {
            seen.insert(*key, now);
        }
    }
}
