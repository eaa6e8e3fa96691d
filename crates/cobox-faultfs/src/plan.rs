//! Which operation fails, and how. Counting begins when a plan is made.

use rustix::process::{Pid, Signal, kill_process};

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one, with this error of the system.
    Once(i32),
    /// This one and all after it that the plan counts.
    ForEver(i32),
    /// The power goes before it.
    PowerCut,
    /// The process that asks for it is killed before it.
    Kill,
}

/// What counts as an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Everything that is asked of the disk.
    All,
    /// What changes it, or makes a change sure.
    Changes,
}

/// A plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The operation at which it comes true; the first is 1.
    pub at: u64,
    /// What happens then.
    pub fault: Fault,
    /// What is counted.
    pub counts: Counts,
}

/// Through which every operation goes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    plan: Option<Plan>,
    count: u64,
    fired: Option<String>,
}

/// An operation.
pub(crate) struct Operation<'a> {
    pub(crate) verb: &'static str,
    pub(crate) changes: bool,
    /// Who asks.
    pub(crate) pid: u32,
    /// At what, for people.
    pub(crate) what: &'a dyn Fn() -> String,
}

impl Gate {
    pub(crate) fn armed(plan: Plan) -> Self {
        Self { plan: Some(plan), ..Self::default() }
    }

    pub(crate) fn heal(&mut self) {
        self.plan = None;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn fired(&self) -> Option<String> {
        self.fired.clone()
    }

    /// Lets it pass, or says with which error it fails.
    pub(crate) fn pass(&mut self, operation: &Operation<'_>) -> Result<(), i32> {
        let io_error = rustix::io::Errno::IO.raw_os_error();
        let Some(plan) = self.plan else { return Ok(()) };
        let counted = plan.counts == Counts::All || operation.changes;
        if self.fired.is_some() {
            return match plan.fault {
                Fault::ForEver(error) if counted => Err(error),
                Fault::PowerCut | Fault::Kill => Err(io_error),
                Fault::Once(_) | Fault::ForEver(_) => Ok(()),
            };
        }
        self.count += u64::from(counted);
        if !counted || self.count < plan.at {
            return Ok(());
        }
        self.fired = Some(format!("{} {}", operation.verb, (operation.what)()));
        match plan.fault {
            Fault::Once(error) | Fault::ForEver(error) => Err(error),
            Fault::PowerCut => Err(io_error),
            Fault::Kill => {
                // It is dying by the time the answer reaches it.
                if let Some(pid) = i32::try_from(operation.pid).ok().and_then(Pid::from_raw) {
                    let _already_gone = kill_process(pid, Signal::KILL);
                }
                Err(io_error)
            }
        }
    }
}
