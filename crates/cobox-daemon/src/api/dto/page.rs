//! What the web page alone needs: what it remembers of the person, and the directories among which one chooses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// How the page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Appearance {
    /// As the computer does.
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// `GET page` and `PUT page`. What is `null` was never chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageSettings {
    /// A language's code, like `de`.
    pub language: Option<String>,
    /// How it looks.
    pub appearance: Option<Appearance>,
    /// When the person last showed that the recovery words are written down.
    pub kit_confirmed_at: Option<Time>,
}

/// A directory of this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Where it is.
    pub path: String,
    /// The one above; none above the root.
    pub parent: Option<String>,
    /// The directories in it, by name; hidden ones are left out.
    pub directories: Vec<String>,
    /// Whether there are more than are listed.
    pub more: bool,
}

/// `POST places`: make a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceRequest {
    /// In which directory; an absolute path.
    pub parent: String,
    /// Its name.
    pub name: String,
}
