//! Integration tests of the format: stories and models of the membership, and the vectors in `spec/vectors`.

// Helpers of tests fail tests; clippy only knows functions marked as tests.
#![allow(clippy::unwrap_used)]

mod codec_vectors;
mod fixtures;
mod hosting_vectors;
mod members_devices;
mod members_enumeration;
mod members_epochs;
mod members_every;
mod members_invites;
mod members_model;
mod members_speed;
mod members_stories;
mod members_vectors;
mod members_world;
mod vector_file;
mod wire_vectors;
