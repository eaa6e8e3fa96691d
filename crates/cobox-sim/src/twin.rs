//! A machine that wakes up twice from one image of its memory and disk: both go on with the same keys, the same chain of heads
//! and the same random bytes ahead of them (N8).

use crate::member::{Live, Member};

impl Member<'_> {
    /// A copy of the running machine, which knows nothing of it; its channels are not copied.
    pub(crate) fn twin(&self, now_ms: u64) -> Option<Self> {
        let live = self.live.as_ref()?;
        let mut twin =
            Self::at(self.cast, self.ops, self.index).with_a_log(self.keeps_log).taking_older(self.takes_older);
        twin.name = self.name.to_ascii_lowercase();
        twin.durable = self.durable.clone();
        twin.machine = self.machine.clone();
        twin.epoch = self.epoch;
        twin.live = Some(Live {
            replica: twin.replica(),
            engine: live.engine.clone(),
            steps: live.steps.iter().chain(&live.waiting).cloned().collect(),
            waiting: Vec::new(),
            reports: live.reports.clone(),
            undo: live.undo.clone(),
            tells_set_aside: live.tells_set_aside,
            scan: live.scan.clone(),
            rules: live.rules.clone(),
            rescan: live.rescan.clone(),
            wake_ms: live.wake_ms,
            older_ms: live.older_ms,
            wants: live.wants.clone(),
            duties: live.duties.clone(),
            left_disk: live.left_disk,
        });
        twin.ask_again(now_ms);
        Some(twin)
    }
}
