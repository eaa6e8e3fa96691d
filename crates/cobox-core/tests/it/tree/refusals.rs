//! Trees that a malicious member could write: each is refused, and for its own reason.
