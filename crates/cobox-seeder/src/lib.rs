//! A blind seeder: keeps encrypted folders for other people, gives receipts for what it holds, witnesses joins, and can read none of
//! it. This library is the service; the program beside it is a thin command line.
//!
//! What runs: one thread per hosted folder, tasks per connection, and the operator's API on loopback. [`Seeder::shutdown`] ends all of
//! it with everything written; blocks on their way are asked for again at the next start.

pub mod admin;
mod claim;
mod clock;
mod config;
pub mod dto;
mod files;
mod home;
mod hub;
mod keys;
mod log;
mod process;
mod register;
mod seeder;
mod tenant;

pub use admin::{ApiFile, ApiFileError};
pub use clock::Clock;
pub use config::{Config, ConfigError};
pub use home::{Holder, Home, HomeError, Lock};
pub use keys::KeysError;
pub use process::{RunError, UpOptions, run};
pub use seeder::{OfferTerms, Seeder, SeederError, StartOptions};
