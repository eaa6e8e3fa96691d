//! The formats of the member side against their vectors in `spec/vectors`, and stories of membership with real keys.

mod block_vectors;
mod cast;
mod epoch_stories;
mod invite_stories;
mod invite_vectors;
mod key_vectors;
mod path_vectors;
mod vector_file;
