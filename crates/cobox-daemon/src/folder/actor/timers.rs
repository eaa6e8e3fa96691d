//! What is left for later: when the next of it is due, and what is done then.
//!
//! What must hold: a clock that is set back puts nothing off (T2).

use super::*;

impl FolderActor {
    /// The clock may be set back: what was due then is due as long from now (T2).
    pub(super) fn note_clock(&mut self, now: u64) {
        let set_back_ms = std::mem::replace(&mut self.clock_ms, now).saturating_sub(now);
        if set_back_ms == 0 {
            return;
        }
        tracing::info!(set_back_ms, "the clock was set back");
        let fixed = [
            &mut self.next_rescan_ms,
            &mut self.next_attach_ms,
            &mut self.next_upkeep_ms,
            &mut self.next_retry_ms,
            &mut self.next_older_ms,
            &mut self.next_call_ms,
        ];
        let calls = self.outsiders.values_mut().map(|(_, again_ms)| again_ms);
        let woken = [&mut self.wake_ms, &mut self.duty_again_ms].into_iter().flatten();
        for at_ms in fixed.into_iter().chain(calls).chain(woken).filter(|at_ms| **at_ms != u64::MAX) {
            *at_ms = at_ms.saturating_sub(set_back_ms);
        }
        self.looks.clock_set_back(set_back_ms);
        self.edited_here.clock_set_back(set_back_ms);
        self.edited_elsewhere.clock_set_back(set_back_ms);
    }

    /// When the next of all that is left for later is due, in a minute at the latest.
    pub(super) fn due_ms(&self, now: u64) -> u64 {
        let look = self.looks.due_ms(!self.scan_requested.is_empty());
        let rescan = self.disk.as_ref().map(|_| self.next_rescan_ms);
        let lost = self.disk.is_none() && self.unkept.is_none() && self.config.path.is_some() && !self.is_out();
        let attach = lost.then_some(self.next_attach_ms);
        [
            self.replica.poll_timeout(),
            self.wake_ms,
            self.duty_again_ms,
            look,
            rescan,
            attach,
            self.editing_due_ms(),
            self.fresh_nodes.due_ms,
            Some(self.next_retry_ms),
            Some(self.next_older_ms),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + 60_000)
        .min(now + 60_000)
    }

    /// Does what is due.
    pub(super) fn time_passed(&mut self) {
        let now = self.around.now_ms();
        self.replica.handle(now, replicate::Input::Tick);
        if self.wake_ms.is_some_and(|due| due <= now) {
            self.wake_ms = None;
            if self.hears_somebody() {
                self.tell_engine(Input::Heard);
            }
            self.tell_engine(Input::Woken);
        }
        if self.duty_again_ms.is_some_and(|due| due <= now) {
            self.do_duty();
        }
        if self.next_retry_ms <= now {
            self.next_retry_ms = if self.unkept.is_some() { now + STUCK_RETRY_MS } else { u64::MAX };
            self.keep_again(now);
            if let Some(engine) = &mut self.engine {
                engine.retry_stuck();
            }
        }
        if self.next_older_ms <= now {
            self.look_for_older(now);
        }
        if self.disk.is_some() && self.next_rescan_ms <= now {
            self.look_at(Vec::new());
        }
        self.find_root_again(now);
        self.announce();
        self.end_signs(now);
        self.looks.wait_is_over(now);
        self.look_if_due(now);
        self.keep_up(now);
    }
}
