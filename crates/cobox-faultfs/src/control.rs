//! How the owner of a disk speaks with the process that serves it: an order, then its answer, one line each.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{BackgroundSession, Config, INodeNo, MountOption};

use crate::plan::{Counts, Fault, Gate, Plan};
use crate::serve::{Server, State};
use crate::tree::{Left, ROOT, Tree};

/// What the owner wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    FoldCase,
    Mount(PathBuf),
    Arm(Plan),
    Heal,
    Fired,
    Count,
    Image(Left),
    Load(u64),
    Forget(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Fired(Option<String>),
    Count(u64),
    /// Its number, and the digest of what it holds.
    Image(u64, u64),
}

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Wire {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Wire {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        Ok(Self { reader: BufReader::new(stream.try_clone()?), writer: stream })
    }

    pub(crate) fn ask(&mut self, order: &Order) -> io::Result<Answer> {
        writeln!(self.writer, "{}", order.to_line())?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Answer::from_line(line.trim_end()).ok_or_else(|| io::Error::other(format!("{order:?} was answered {line:?}")))
    }
}

impl Order {
    fn to_line(&self) -> String {
        match self {
            Self::FoldCase => "fold-case".into(),
            // In hex: a directory may have any name.
            Self::Mount(path) => {
                let hex: String = path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                format!("mount {hex}")
            }
            Self::Arm(plan) => {
                let (fault, error) = match plan.fault {
                    Fault::Once(error) => ("once", error),
                    Fault::ForEver(error) => ("for-ever", error),
                    Fault::PowerCut => ("cut", 0),
                    Fault::Kill => ("kill", 0),
                };
                let counts = if plan.counts == Counts::All { "all" } else { "changes" };
                format!("arm {} {fault} {error} {counts}", plan.at)
            }
            Self::Heal => "heal".into(),
            Self::Fired => "fired".into(),
            Self::Count => "count".into(),
            Self::Image(left) => {
                format!("image {}", Left::EVERY.iter().position(|one| one == left).unwrap_or_default())
            }
            Self::Load(number) => format!("load {number}"),
            Self::Forget(number) => format!("forget {number}"),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match words.as_slice() {
            ["fold-case"] => Self::FoldCase,
            ["mount", hex] => {
                let pairs = hex.as_bytes().chunks(2);
                let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
                Self::Mount(OsString::from_vec(pairs.map(byte).collect::<Option<_>>()?).into())
            }
            ["arm", at, fault, error, counts] => {
                let error = error.parse().ok()?;
                let fault = match *fault {
                    "once" => Fault::Once(error),
                    "for-ever" => Fault::ForEver(error),
                    "cut" => Fault::PowerCut,
                    "kill" => Fault::Kill,
                    _ => return None,
                };
                let counts = if *counts == "all" { Counts::All } else { Counts::Changes };
                Self::Arm(Plan { at: at.parse().ok()?, fault, counts })
            }
            ["heal"] => Self::Heal,
            ["fired"] => Self::Fired,
            ["count"] => Self::Count,
            ["image", left] => Self::Image(*Left::EVERY.get(left.parse::<usize>().ok()?)?),
            ["load", number] => Self::Load(number.parse().ok()?),
            ["forget", number] => Self::Forget(number.parse().ok()?),
            _ => return None,
        })
    }
}

impl Answer {
    fn to_line(&self) -> String {
        match self {
            Self::Done => "done".into(),
            Self::Fired(None) => "not yet".into(),
            // A name may hold anything, and the answer is one line.
            Self::Fired(Some(at)) => format!("at {}", at.escape_debug()),
            Self::Count(count) => format!("count {count}"),
            Self::Image(number, digest) => format!("image {number} {digest}"),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        Some(match line.split_once(' ') {
            None if line == "done" => Self::Done,
            Some(("not", _)) => Self::Fired(None),
            Some(("count", count)) => Self::Count(count.parse().ok()?),
            Some(("at", what)) => Self::Fired(Some(what.into())),
            Some(("image", numbers)) => {
                let (number, digest) = numbers.split_once(' ')?;
                Self::Image(number.parse().ok()?, digest.parse().ok()?)
            }
            _ => return None,
        })
    }
}

/// Serves the disk of whoever started this process, whose orders come by standard input, until they end. Does nothing when the process
/// was started by a person.
pub fn serve() -> io::Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stream = UnixStream::from(stdin);
    if stream.peer_addr().is_err() {
        return Ok(());
    }
    let mut writer = stream.try_clone()?;
    let state = Arc::<Mutex<State>>::default();
    let mut images = BTreeMap::<u64, Tree>::new();
    let mut session = None;
    for (line, number) in BufReader::new(stream).lines().zip(1..) {
        let line = line?;
        let order = Order::from_line(&line).ok_or_else(|| io::Error::other(format!("{line:?} is no order")))?;
        let mut answer = Answer::Done;
        match order {
            Order::FoldCase => lock(&state).tree.folds_case = true,
            Order::Mount(place) => {
                let mut config = Config::default();
                config.mount_options = vec![MountOption::FSName("faultfs".into()), MountOption::DefaultPermissions];
                session = Some(fuser::spawn_mount(Server(state.clone()), place, &config)?);
            }
            Order::Arm(plan) => lock(&state).gate = Gate::armed(plan),
            Order::Heal => lock(&state).gate.heal(),
            Order::Fired => answer = Answer::Fired(lock(&state).gate.fired()),
            Order::Count => answer = Answer::Count(lock(&state).gate.count()),
            Order::Image(left) => {
                let mut tree = lock(&state).tree.clone();
                tree.after(left);
                answer = Answer::Image(number, tree.digest());
                images.insert(number, tree);
            }
            Order::Load(image) => {
                let image = images.get(&image).ok_or_else(|| io::Error::other("there is no such image"))?;
                let before = {
                    let mut state = lock(&state);
                    state.gate = Gate::default();
                    let before = state.tree.top_names();
                    state.tree.load(image);
                    before
                };
                // What lies deeper is new to the system by its numbers.
                for name in before {
                    if let Some(session) = &session {
                        forget_name(session, &name)?;
                    }
                }
            }
            Order::Forget(image) => drop(images.remove(&image)),
        }
        writeln!(writer, "{}", answer.to_line())?;
    }
    drop(session);
    Ok(())
}

/// Lets the system ask anew for a name at the top.
fn forget_name(session: &BackgroundSession, name: &OsStr) -> io::Result<()> {
    match session.notifier().inval_entry(INodeNo(ROOT), name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
