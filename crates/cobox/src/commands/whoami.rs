//! `whoami`.

use cobox_daemon::api::dto::Whoami;

use crate::error::Failure;
use crate::{Context, text};

/// Show your name, your CoBox key and where this device is found
///
/// Give your CoBox key to whoever wants to invite you. It is no secret.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let whoami: Whoami = context.client()?.get("whoami")?;
        context.out.data(&whoami, show)
    }
}

fn show(who: &Whoami) -> String {
    let addresses = if who.addresses.is_empty() { "none".into() } else { who.addresses.join(", ") };
    format!(
        "name        {}\nCoBox key   {}\ndevice      {}\naddresses   {}\nweb page    {}\n",
        text::clean(&who.name),
        who.cobox_key,
        who.device_key,
        text::clean(&addresses),
        who.api
    )
}
