//! The local API over a real socket, spoken to as a hostile page, a broken client and a good one would.

mod browser;
mod raw;
mod routes;
mod scripted;
