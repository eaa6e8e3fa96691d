//! `events`.

use cobox_daemon::api::dto::Event;

use crate::Context;
use crate::error::Failure;

/// Follow what happens, one JSON object a line, until Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on after the event with this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        for data in context.client()?.follow("events", self.after.as_deref())? {
            let event: Event = serde_json::from_str(&data)
                .map_err(|error| Failure::io("an event can not be understood", &error.into()))?;
            context.out.json_line(&event)?;
        }
        Err(Failure::not_running())
    }
}
