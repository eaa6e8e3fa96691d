//! Scripts at running programs.

mod call;
mod keys;
mod member;
mod scene;
mod seeder;
mod stranger;

use crate::Script;

pub use scene::Scene;

/// Every table.
pub(crate) fn tables() -> Vec<&'static [Script]> {
    vec![member::SCRIPTS, seeder::SCRIPTS, stranger::SCRIPTS]
}
