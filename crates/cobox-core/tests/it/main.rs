//! The formats of the member side against their vectors in `spec/vectors`, and stories of membership with real keys.

#![allow(clippy::unwrap_used, reason = "a panic with its line is what a test wants")]

mod block_vectors;
mod cast;
mod epoch_stories;
mod epoch_storm;
mod invite_stories;
mod invite_vectors;
mod key_vectors;
mod path_vectors;
mod vector_file;
