//! The real program in a sealed environment: an empty environment, a temporary home, no terminal.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod blind;
mod life;
#[path = "../../../cobox-daemon/tests/it/scripted.rs"]
mod scripted;
mod sealed;
mod usage;
mod verbs;
