//! What cobox-core promises to its callers, tried from outside; its formats against the vectors in `spec/vectors`.

#![allow(clippy::unwrap_used, reason = "a panic with its line is what a test wants")]

mod block_vectors;
mod cast;
mod epoch_stories;
mod epoch_storm;
mod epoch_vectors;
mod fixtures;
mod history;
mod invite_stories;
mod invite_vectors;
mod key_vectors;
mod link_vectors;
mod note_vectors;
mod path_vectors;
mod removal_stories;
mod removed_stories;
mod spoken_stories;
mod state;
mod tree;
mod vector_file;
