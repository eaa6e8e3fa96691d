//! `devices`: one person, several devices.

use clap::Subcommand;
use cobox_daemon::api::dto::{DeviceLink, DeviceNameRequest, DeviceRemoved, DeviceStatus, Devices, RemoveRequest};

use crate::Context;
use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::count;

/// Your own devices
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List your devices
    List,
    /// Make a code that makes another computer yours: `cobox up --link` there
    ///
    /// Whoever uses the code first is you, in all your folders. Keep it like a key; it is good for an hour and for one use.
    Link,
    /// Give a device a name
    Name {
        /// Its name, or the beginning of its key
        device: String,
        /// From now on
        name: String,
    },
    /// Send a lost device away, out of all your folders
    ///
    /// Nobody else is needed for it. What is written from then on has new keys, which the device never gets.
    Remove {
        /// Its name, or the beginning of its key
        device: String,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List => {
                let devices: Devices = client.get("devices")?;
                context.out.data(&devices, show)
            }
            What::Link => {
                let link: DeviceLink = client.post("devices/link", &())?;
                context.out.data(&link, |link| link.code.0.to_string())?;
                context.out.note(&format!(
                    "good until {}, once; on the other computer: `cobox up --link -`, and paste it. Whoever has it can be you",
                    link.expires_at
                ));
                Ok(())
            }
            What::Name { device, name } => {
                let address = format!("devices/{}/name", part(&device));
                let devices: Devices = client.post(&address, &DeviceNameRequest { name })?;
                context.out.data(&devices, show)
            }
            What::Remove { device, dry_run } => remove(context, &client, &device, dry_run),
        }
    }
}

fn remove(context: &Context, client: &Client, device: &str, dry_run: bool) -> Result<(), Failure> {
    let address = format!("devices/{}/remove", part(device));
    let preview: DeviceRemoved = client.post(&address, &RemoveRequest { dry_run: true })?;
    if dry_run {
        return context.out.data(&preview, show_preview);
    }
    if !context.confirm(&show_preview(&preview))? {
        context.out.note("nothing was done");
        return Ok(());
    }
    let done: DeviceRemoved = client.post(&address, &RemoveRequest { dry_run: false })?;
    context.out.data(&done, |done| {
        let folders = count(done.folders.len() as u64, "folder");
        format!("{} was sent away, out of {folders}; what is written from now on has new keys", clean(&done.name))
    })
}

fn show_preview(preview: &DeviceRemoved) -> String {
    let mut text =
        format!("{} is sent away, out of {}:\n", clean(&preview.name), count(preview.folders.len() as u64, "folder"));
    preview.folders.iter().for_each(|folder| text.push_str(&format!("  {}\n", clean(folder))));
    text.push_str("Whoever has it keeps:\n");
    preview.keeps.iter().for_each(|line| text.push_str(&format!("  {}\n", clean(line))));
    text
}

fn show(devices: &Devices) -> String {
    let seen = |device: &DeviceStatus| match (device.this, device.online) {
        (true, _) => "this one",
        (_, true) => "online",
        (_, false) => "",
    };
    let key = |device: &DeviceStatus| clean(device.key.get(..8).unwrap_or(&device.key));
    let row = |d: &DeviceStatus| vec![clean(&d.name), seen(d).into(), d.folders.to_string(), key(d)];
    let rows: Vec<Vec<String>> = devices.devices.iter().map(row).collect();
    table(&["DEVICE", "SEEN", "FOLDERS", "KEY"], &rows)
}
