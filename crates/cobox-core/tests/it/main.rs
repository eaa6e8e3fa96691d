//! Integration tests of `cobox-core`, one module per subject.

#![allow(clippy::unwrap_used)] // The lint spares test functions only, not what they share.

mod state;
