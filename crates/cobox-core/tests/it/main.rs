//! The formats of the member side against their vectors in `spec/vectors`.

mod block_vectors;
mod key_vectors;
mod path_vectors;
mod vector_file;
