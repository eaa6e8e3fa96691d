//! The local API over a real socket, spoken to as a hostile page, a broken client and a good one would.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod browser;
mod raw;
mod routes;
mod scripted;
