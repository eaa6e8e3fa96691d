//! `demo`: the whole story in a temporary place, with real processes, and what the seeder could see of it.

mod canary;
mod choir;
mod story;
mod tree;
mod world;

use std::time::Instant;

use cobox_daemon::api::{ErrorCode, Exit};
use serde::Serialize;
use serde_json::Value;

use self::story::{Cast, STEPS, Seen};
use self::world::{World, WorldError};
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_bytes};
use crate::{Context, output};

/// Watch the whole story: two people, one blind seeder, a lost laptop, everything back
///
/// Runs real programs in a temporary directory, on this computer alone; your own folders and settings are not touched. Everything is
/// stopped and removed at the end. Takes less than a minute.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the temporary directory, to look around in it
    #[arg(long)]
    keep: bool,
}

/// `demo --json`.
#[derive(Debug, Serialize)]
struct Told {
    held: bool,
    seconds: f64,
    steps: Vec<StepTold>,
    seeder_saw: Option<Seen>,
    kept_at: Option<String>,
}

/// A step that was tried.
#[derive(Debug, Serialize)]
struct StepTold {
    step: &'static str,
    held: bool,
    seconds: f64,
    detail: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let world = World::new(self.keep)?;
        let out = context.out;
        world.end_on_signals(Exit::Interrupted as i32, move || {
            out.failure(&Failure::new(ErrorCode::Interrupted, "interrupted; everything was stopped", "run it again"));
        });
        let kept_at = self.keep.then(|| world.root().display().to_string());
        let begun = Instant::now();
        let (steps, saw, ended) = tell(context, &world);
        drop(world);
        let told =
            Told { held: ended.is_ok(), seconds: begun.elapsed().as_secs_f64(), steps, seeder_saw: saw, kept_at };
        if out.json {
            out.json_line(&told)?;
        } else {
            output::print(&show(&told))?;
        }
        Ok(ended?)
    }
}

/// Step by step, until one does not hold.
fn tell(context: &Context, world: &World) -> (Vec<StepTold>, Option<Seen>, Result<(), WorldError>) {
    let mut told = Vec::new();
    let mut cast = match Cast::assemble(world) {
        Ok(cast) => cast,
        Err(error) => return (told, None, Err(error)),
    };
    for step in &STEPS {
        let begun = Instant::now();
        let acted = (step.act)(world, &mut cast);
        if acted.is_err() {
            world.wait_if_ending();
        }
        let seconds = begun.elapsed().as_secs_f64();
        let detail = acted.as_ref().cloned().unwrap_or_default();
        let line = StepTold { step: step.title, held: acted.is_ok(), seconds, detail };
        let said = if context.out.json { Ok(()) } else { output::print(&show_step(&line)) };
        told.push(line);
        if let Err(error) = acted {
            return (told, None, Err(error));
        }
        if said.is_err() {
            return (told, None, Err(WorldError::Interrupted));
        }
    }
    (told, cast.seen, Ok(()))
}

fn show_step(step: &StepTold) -> String {
    let mark = if step.held { "✓ yes" } else { "✗ NO " };
    let detail = if step.detail.is_empty() { String::new() } else { format!(": {}", clean(&step.detail)) };
    format!("{mark}  {:5.1} s  {}{detail}\n", step.seconds, step.step)
}

fn show(told: &Told) -> String {
    let mut text = told.seeder_saw.as_ref().map(show_seen).unwrap_or_default();
    let held = told.steps.iter().filter(|step| step.held).count();
    text.push_str(&format!("\n{held} of {} steps held, {:.1} seconds\n", STEPS.len(), told.seconds));
    if let Some(place) = &told.kept_at {
        text.push_str(&format!("kept in {}\n", clean(place)));
    }
    text
}

fn show_seen(seen: &Seen) -> String {
    let mut text = String::from("\nWhat the box could see:\n");
    for folder in &seen.folders {
        show_folder(&mut text, folder);
    }
    text.push_str(&format!(
        "What it could not: {} in {} shapes (raw, UTF-16, base64, hex), looked for in {}, {}.\n",
        count(seen.strings as u64, "planted string"),
        seen.forms,
        count(seen.files, "file"),
        show_bytes(seen.bytes)
    ));
    text
}

/// What a seeder tells of a folder: how much, of which keys, and when.
fn show_folder(text: &mut String, shown: &Value) {
    let (folder, sees) = (&shown["folder"], &shown["sees"]);
    let word = |value: &Value| value.as_str().map(clean).unwrap_or_default();
    let short = |value: &Value| word(value).chars().take(8).collect::<String>();
    let size = |value: &Value| show_bytes(value.as_u64().unwrap_or(0));
    let (kind, id, blocks) = (word(&folder["kind"]), short(&folder["id"]), folder["blocks"].as_u64().unwrap_or(0));
    text.push_str(&format!("  {kind} {id}: {}, {} padded\n", count(blocks, "block"), size(&folder["used_bytes"])));
    for member in sees["members"].as_array().into_iter().flatten() {
        let devices: Vec<String> = member["devices"].as_array().into_iter().flatten().map(&word).collect();
        text.push_str(&format!("    member {} with {}\n", word(&member["key"]), devices.join(", ")));
    }
    for state in sees["states"].as_array().into_iter().flatten() {
        let (device, at) = (word(&state["device"]), word(&state["written_at"]));
        text.push_str(&format!("    {device} wrote {} at {at}\n", size(&state["new_bytes"])));
    }
}

impl From<WorldError> for Failure {
    fn from(error: WorldError) -> Self {
        let hint = match &error {
            WorldError::NoSeeder(_) => "install or build both programs into one directory: cobox and cobox-seeder",
            WorldError::Io { .. } => "see that the temporary directory has room (TMPDIR names another one)",
            _ => "with --keep the homes and logs stay, to see why",
        };
        Self::new(ErrorCode::Failed, error.to_string(), hint)
    }
}
