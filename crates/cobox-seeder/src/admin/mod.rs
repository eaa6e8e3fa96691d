//! The operator's API: HTTP on loopback, for the command line and scripts. One route table, one guard before it.

mod api_file;
mod error;
mod guard;
mod routes;

pub use api_file::{ApiFile, ApiFileError};
pub use error::{ApiError, ErrorBody, ErrorCode, ErrorLine, Exit};
pub use routes::BASE;

pub(crate) use routes::serve;
