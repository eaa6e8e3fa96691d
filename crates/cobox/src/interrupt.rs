//! Ctrl-C on a command: the command ends, the service goes on, and the last line says so.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use cobox_daemon::api::{ErrorCode, Exit};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::ASKED;
use crate::error::Failure;
use crate::output::Output;
use crate::prompt;

/// What is said by a command that is not gone on with.
static SAID: OnceLock<&str> = OnceLock::new();

/// What Ctrl-C says from now on: this command's work ends with it.
pub(crate) fn will_say(text: &'static str) {
    let _the_first_counts = SAID.set(text);
}

/// Watches for Ctrl-C in a thread of its own until the command ends.
pub(crate) fn watch(out: Output) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let Ok(mut interrupts) = runtime.block_on(async { signal(SignalKind::interrupt()) }) else { return };
    let _no_threads_left = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            prompt::echo_on();
            let message = match SAID.get() {
                Some(said) => *said,
                None if ASKED.load(Ordering::Relaxed) => "interrupted; cobox itself goes on with the work",
                None => "interrupted",
            };
            out.failure(&Failure::new(ErrorCode::Interrupted, message, "`cobox status` shows how it stands"));
            std::process::exit(Exit::Interrupted as i32);
        }
    });
}
