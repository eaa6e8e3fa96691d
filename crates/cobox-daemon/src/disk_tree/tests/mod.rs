//! Stories told on real directories.
