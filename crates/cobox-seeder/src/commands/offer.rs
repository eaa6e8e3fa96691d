//! `offer`.

use cobox_seeder::admin::ErrorCode;
use cobox_seeder::dto::{OfferReply, OfferRequest};

use crate::Context;
use crate::output::Failure;
use crate::units::{duration_s, show_bytes, size_bytes};

const DAY_S: u64 = 86_400;

/// Print a hosting offer: whoever has it may place one folder here, once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Room for the folder, like 50GB
    #[arg(long, value_name = "SIZE", value_parser = size_bytes)]
    space: u64,
    /// For whom, so that you recognise it later; nobody else sees it
    #[arg(long = "for", value_name = "LABEL", default_value = "")]
    label: String,
    /// Keep history at least so long
    #[arg(long, value_name = "TIME", value_parser = duration_s, default_value = "90d")]
    keep: u64,
    /// It must be claimed within so long
    #[arg(long, value_name = "TIME", value_parser = duration_s, default_value = "14d")]
    expires: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let keep_days = u32::try_from(self.keep.div_ceil(DAY_S))
            .map_err(|_| Failure::new(ErrorCode::Usage, "nothing can be kept for so long", "give --keep like 90d"))?;
        let request = OfferRequest { space_bytes: self.space, label: self.label, keep_days, expires_s: self.expires };
        let reply: OfferReply = context.client()?.post("offers", &request)?;
        if reply.space_bytes > reply.disk_free_bytes {
            let free = show_bytes(reply.disk_free_bytes);
            context.out.note(&format!("note: this promises more than the {free} that are free on the disk"));
        }
        context.out.data(&reply, |reply| reply.offer.clone())?;
        context.out.note(&format!(
            "{} of space; to be used once, until {}. Hand it over privately: whoever has it may use it.",
            show_bytes(reply.space_bytes),
            reply.expires_at
        ));
        Ok(())
    }
}
