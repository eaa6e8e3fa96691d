//! Waiting for something that the service says when asked: asked again and again, not too often. Ctrl-C ends the program meanwhile, and the
//! service goes on.

use std::time::Duration;

use crate::error::Failure;

const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Asks until there is an answer, or asking fails.
pub(crate) fn until<T>(mut look: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
