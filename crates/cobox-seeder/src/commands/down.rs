//! `down`: asks the service to stop and waits until it has.

use std::time::{Duration, Instant};

use cobox_seeder::RunError;
use cobox_seeder::admin::ErrorCode;
use cobox_seeder::dto::Stopping;
use serde::Serialize;

use crate::Context;
use crate::output::Failure;

/// The service itself gives up waiting for its work after ten seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Stop the seeder; what it keeps stays where it is
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
        while home.holder().map_err(RunError::from)?.is_some() {
            if Instant::now() > until {
                let hint = "try again, or look into its log";
                return Err(Failure::new(ErrorCode::TimedOut, "the service is still stopping", hint));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        context.out.data(&Stopped { stopped: true }, |_| "cobox-seeder has stopped".into())
    }
}
