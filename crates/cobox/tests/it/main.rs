//! The real program in a sealed environment: an empty environment, a temporary home, no terminal.

mod life;
#[path = "../../../cobox-daemon/tests/it/scripted.rs"]
mod scripted;
mod sealed;
mod usage;
mod verbs;
