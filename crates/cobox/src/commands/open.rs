//! `open`: the way to the web page.

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::LoginLink;

use crate::Context;
use crate::error::Failure;

/// Open the web page with a link that is good once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the link instead; it is good once, for a minute
    #[arg(long)]
    print: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        if !self.print {
            return Err(Failure::new(
                ErrorCode::NotYet,
                "this build has no web page to open",
                "`cobox status` shows everything; --print prints the link",
            ));
        }
        let link: LoginLink = client.post("login-links", &())?;
        context.out.data(&link, |link| link.url.0.to_string())
    }
}
