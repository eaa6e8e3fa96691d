//! `down`: asks the service to stop and waits until it has.

use std::time::{Duration, Instant};

use cobox_daemon::Lock;
use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::Stopping;
use serde::Serialize;

use crate::Context;
use crate::error::Failure;

/// The service itself gives up waiting for its work after ten seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Stop this device's service; your files stay where they are
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Debug, Serialize)]
struct Stopped {
    stopped: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let _stopping: Stopping = context.client()?.post("down", &())?;
        let until = Instant::now() + STOP_TIMEOUT;
        while Lock::holder(&home.lock())?.is_some() {
            if Instant::now() > until {
                let hint = "try again, or look into its log";
                return Err(Failure::new(ErrorCode::TimedOut, "the service is still stopping", hint));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        context.out.data(&Stopped { stopped: true }, |_| "cobox has stopped".into())
    }
}
