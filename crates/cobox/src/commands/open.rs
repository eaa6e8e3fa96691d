//! `open`: the way to the web page.
//!
//! What must hold: the link stands in no list of processes, since whoever is first with it is let in. The person's browser is given a
//! file of the home that only they can read, and the file sends it on.

use std::path::PathBuf;

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::LoginLink;
use cobox_daemon::desktop;
use serde::Serialize;

use crate::Context;
use crate::error::Failure;

/// The file that sends the browser on, in the home.
const DOOR: &str = "open.html";

/// Open the web page in your browser, with a link that is good once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the link instead; it is good once, for a minute
    #[arg(long)]
    print: bool,
}

/// `open --json`.
#[derive(Debug, Serialize)]
struct Opened {
    opened: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let link: LoginLink = client.post("login-links", &())?;
        if self.print {
            return context.out.data(&link, |link| link.url.0.to_string());
        }
        let door = write_door(context, &link)?;
        desktop::open(door.as_os_str()).map_err(|why| {
            Failure::new(
                ErrorCode::Failed,
                format!("no browser could be opened here: {why}"),
                "`cobox open --print` prints the link; open it in any browser on this computer",
            )
        })?;
        context.out.data(&Opened { opened: true }, |_| "opened in your browser".to_owned())
    }
}

fn write_door(context: &Context, link: &LoginLink) -> Result<PathBuf, Failure> {
    let path = context.home()?.root().join(DOOR);
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>cobox</title>\n<meta http-equiv=\"refresh\" content=\"0;url={0}\">\n\
         <a href=\"{0}\">cobox</a>\n",
        *link.url.0
    );
    cobox_daemon::write_private(&path, page.as_bytes())
        .map_err(|why| Failure::io(&format!("{} can not be written", path.display()), &why))?;
    Ok(path)
}
