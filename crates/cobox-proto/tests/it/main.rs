//! Integration tests of the format: stories and models of the membership, and the vectors in `spec/vectors`.

mod hosting_vectors;
mod members_epochs;
mod members_invites;
mod members_model;
mod members_speed;
mod members_stories;
mod members_vectors;
mod members_world;
mod vector_file;
mod wire_vectors;
