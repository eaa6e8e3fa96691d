//! Integration tests of `cobox-core`, one module per subject.

mod state;
