//! What a seeder offers, promises and decides, blind: offers and tickets, claims, receipts, room and history.

mod offer;
mod receipt;
mod ticket;

pub use offer::{OFFER_PREFIX, OFFER_VERSION, Offer, OfferError};
pub use receipt::{Holding, RECEIPT_VERSION, Receipt, ReceiptError, SignedReceipt};
pub use ticket::{Address, TICKET_PREFIX, TICKET_VERSION, Ticket};
