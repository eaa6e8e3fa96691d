//! What a seeder offers, promises and decides, blind: offers and tickets, claims, receipts, room and history, and nameplates by which
//! people meet.

mod agreed;
mod claim;
mod forgetting;
mod ingest;
mod mailbox;
mod mending;
mod offer;
mod pace;
mod promise;
mod quota;
mod receipt;
mod retention;
mod shelf;
mod tenant;
#[cfg(test)]
mod tests;
mod ticket;
mod trash;
mod witness;

pub use agreed::{Agreed, SHORTER_AFTER_MS};
pub use claim::{Arriving, Delivered};
pub use forgetting::{Beneath, Forgetting, LetGo, forget_after_ms};
pub use ingest::{Ingest, Step};
pub use mailbox::{AskedFrom, Found, Mailbox};
pub use quota::{Quota, RESERVE_HEAD_BYTES_MAX, Room};
pub use retention::{Aging, gone_by_ms, kept_by_age, sure_until_ms};
pub use shelf::{Shelf, Status, missing_without, reach, reach_without, recheck};

pub use offer::{OFFER_PREFIX, OFFER_VERSION, Offer, OfferError};
pub use pace::{PACE_MS_MAX, Pace};
pub use promise::Promise;
pub use receipt::{Holding, RECEIPT_VERSION, Receipt, ReceiptError, SignedReceipt};
pub use tenant::{Before, Tenant, TenantInput, TenantOutput};
pub use ticket::{Address, TICKET_PREFIX, TICKET_VERSION, Ticket};
pub use trash::{LARGE_BLOCKS, LARGE_TRASH_MS, Look, TRASH_MS, Trash};
pub use witness::{joins_to_witness, joins_waiting};
