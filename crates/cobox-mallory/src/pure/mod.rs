//! Scripts without a network: the shipped brain of a folder, a connection or a seeder is told what Mallory says, and asked what it makes
//! of it.

mod blocks;
mod claims;
mod doors;
mod forgery;
mod histories;
mod lists;
mod mind;
mod names;
mod shapes;
mod words;

use crate::Script;

pub(crate) use forgery::{Forge, Inside};
pub(crate) use names::{replaced, respoilt};

/// Every table.
pub(crate) fn tables() -> Vec<&'static [Script]> {
    vec![
        names::SCRIPTS,
        shapes::SCRIPTS,
        blocks::SCRIPTS,
        histories::SCRIPTS,
        words::SCRIPTS,
        lists::SCRIPTS,
        doors::SCRIPTS,
        claims::SCRIPTS,
    ]
}
