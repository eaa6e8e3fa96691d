//! A member's background service: the home it lives in, the log, the lock, the local HTTP API, and the daemon behind it.
//!
//! [`run`] is the whole life of a service. What a stop loses: nothing that was answered for; work under way is taken up again at the
//! next start.

pub mod api;
mod api_file;
mod bandwidth;
mod config;
mod daemon;
pub mod desktop;
pub mod disk_tree;
mod files;
mod folder;
mod guest;
mod home;
mod identity;
pub mod keystore;
mod lock;
mod log;
mod private;
mod process;
mod seeding;
mod tickets;
mod token;

pub use api_file::{ApiFile, ApiFileError};
pub use bandwidth::{Bandwidth, NoRule, Rule};
pub use config::{Config, ConfigError};
pub use daemon::{StartError, StartOptions, has_identity};
pub use files::replace as write_private;
pub use home::{Home, HomeError};
pub use lock::{Holder, Lock, LockError};
pub use private::Private;
pub use process::{RunError, UpOptions, run};
pub use token::random_token;

/// Whether a pasted text is an invite code that anybody who has it may use, and so a secret.
pub fn is_open_code(text: &str) -> bool {
    matches!(text.parse(), Ok(cobox_core::members::InviteText::Code(_)))
}
