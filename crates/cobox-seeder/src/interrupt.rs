//! Ctrl-C on a command: the command ends, the service goes on, and the last line says so.

use cobox_seeder::admin::{ErrorCode, Exit};

use crate::output::{Failure, Output};

/// Watches for Ctrl-C in a thread of its own until the command ends.
pub(crate) fn watch(out: Output) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let _no_threads_left = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let message = "interrupted; the seeder itself goes on with what it was asked";
            let hint = "`cobox-seeder status` shows how it stands";
            out.failure(&Failure::new(ErrorCode::Interrupted, message, hint));
            std::process::exit(Exit::Interrupted as i32);
        }
    });
}
