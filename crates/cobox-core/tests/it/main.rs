//! What cobox-core promises to its callers, tried from outside.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

mod tree;
