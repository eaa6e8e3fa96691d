//! The folder's log as a member's machine acts on it, as the shipped folder does: keys that are opened, what is to be done unasked, and
//! what a person decides about people and keys.
//!
//! What must hold: ops and envelopes are durable before anybody else has them, and keys before the ops of their epoch. Whoever was sent
//! away does nothing more at the disk.

use std::collections::BTreeSet;

use cobox_core::engine::{Input, Standing};
use cobox_core::keys::FolderKeys;
use cobox_core::members::{
    Change, Deed, Duty, Moment, RemovalError, Seat, duty, open_epochs, rekey, remove_member, seal_in_turn, set_role,
};
use cobox_proto::id::{EpochTag, OpId, SigKey};
use cobox_proto::members::{Envelope, Role, Roster, SignedOp};
use cobox_proto::replicate::{self, Replica};
use cobox_proto::wire::proof::Who;
use cobox_proto::wire::{OpEnvelopes, Removal};

use crate::member::{Member, not_done};
use crate::world::World;

/// What could not be done is tried again after this.
const DUTY_RETRY_MS: u64 = 60_000;
/// So many people are left at least.
const STAY_MIN: usize = 2;

/// What a running machine remembers of its folder's epochs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Duties {
    epochless_since_ms: Option<u64>,
    again_ms: Option<u64>,
}

impl Duties {
    /// When something may be due.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.again_ms
    }
}

/// The epoch to write under, if its secret is held.
fn epoch(roster: &Roster, keys: &FolderKeys) -> Option<EpochTag> {
    roster.writable_epoch().map(|epoch| epoch.tag()).filter(|epoch| keys.has_epoch(epoch))
}

impl Member<'_> {
    /// The keys held here.
    pub(crate) fn keys(&self) -> &FolderKeys {
        self.durable.keys.as_ref().unwrap_or(&self.person.keys)
    }

    pub(crate) fn device(&self) -> SigKey {
        self.person.device.sig.public()
    }

    /// What the log that is known here says.
    pub(crate) fn roster(&self) -> Option<&Roster> {
        Some(self.live.as_ref()?.replica.membership().roster())
    }

    /// How somebody who calls was sent away, if they were.
    pub(crate) fn removal_of(&self, who: &Who) -> Removal {
        self.live.as_ref().map_or_else(Removal::default, |live| live.replica.removal_of(who))
    }

    /// What speaks for this device where it is not known.
    pub(crate) fn introduction(&self) -> Vec<Vec<u8>> {
        self.live.as_ref().map_or(Vec::new(), |live| live.replica.introduction(&self.device()))
    }

    /// Whether this device knows that it is no member's any more.
    pub(crate) fn is_out(&self) -> bool {
        self.roster().is_some_and(|roster| roster.device(&self.device()).is_none())
    }

    /// What the log of a replica says about this device.
    pub(crate) fn standing_in(&self, replica: &Replica) -> Standing {
        let roster = replica.membership().roster();
        Standing {
            auth: replica.membership().frontier(),
            epoch: epoch(roster, self.keys()),
            can_write: roster.can_write(&self.device()),
            depths: roster.epochs().map(|epoch| (epoch.id.tag(), epoch.depth.into())).collect(),
        }
    }

    fn seat(&self) -> Option<Seat<'_>> {
        let membership = self.live.as_ref()?.replica.membership();
        let (log, roster) = (membership.log(), membership.roster());
        Some(Seat { log, roster, keys: Some(self.keys()), device: &self.person.device.sig, sealing: seal_in_turn })
    }

    pub(crate) fn ops_came(&mut self, now_ms: u64, ids: &[OpId]) {
        let Some(live) = &self.live else { return };
        let ops: Vec<SignedOp> = ids.iter().filter_map(|id| live.replica.membership().op(id)).cloned().collect();
        if !self.stops_now() {
            self.durable.ops.extend(ops);
            self.membership_changed(now_ms);
        }
    }

    pub(crate) fn envelopes_came(&mut self, now_ms: u64, sent: OpEnvelopes) {
        if !self.stops_now() {
            self.durable.envelopes.push(sent);
            self.membership_changed(now_ms);
        }
    }

    /// The log or its envelopes grew: new keys are opened, and what follows for this device is done.
    pub(crate) fn membership_changed(&mut self, now_ms: u64) {
        let clock_ms = self.machine.clock_ms(now_ms);
        self.open_keys(clock_ms);
        self.do_duty(now_ms);
        let Some(live) = &self.live else { return };
        let standing = self.standing_in(&live.replica);
        self.epoch = standing.epoch;
        if let Some(live) = &mut self.live {
            live.engine.handle(clock_ms, Input::Standing(standing));
        }
        if self.is_out() {
            self.leave_the_disk();
        } else if self.live.as_mut().is_some_and(|live| std::mem::take(&mut live.left_disk)) {
            // Let in again, by somebody who knew more: the disk is looked at whole.
            self.look_at(Vec::new());
        }
    }

    fn open_keys(&mut self, clock_ms: u64) {
        let Some(live) = &self.live else { return };
        let membership = live.replica.membership();
        let (sent, own) = (live.replica.envelopes(), self.person.device.hpke.public().id());
        let envelopes: Vec<Envelope> =
            membership.log().ops().filter_map(|op| sent.get(&op.id(), &own)).cloned().collect();
        let (own, known) = (&[&self.person.device.hpke], Some(self.keys().clone()));
        let opened = open_epochs(membership.log(), membership.roster(), &envelopes, own, known);
        if let Some(keys) = opened.keys.filter(|_| !opened.new.is_empty()) {
            self.take_keys(clock_ms, keys);
        }
    }

    fn take_keys(&mut self, clock_ms: u64, keys: FolderKeys) {
        self.durable.keys = Some(keys.clone());
        if let Some(live) = &mut self.live {
            live.engine.handle(clock_ms, Input::Keys(Box::new(keys)));
        }
    }

    /// Does the next thing that this device has to do for its folder unasked. What it adds to the log brings it here again.
    fn do_duty(&mut self, now_ms: u64) {
        let clock_ms = self.machine.clock_ms(now_ms);
        let random = self.chances();
        let Some(live) = &mut self.live else { return };
        let roster = live.replica.membership().roster();
        let since = live.duties.epochless_since_ms;
        live.duties.epochless_since_ms =
            roster.writable_epoch().is_none().then(|| since.map_or(clock_ms, |since| since.min(clock_ms)));
        let by_admin = |device: &SigKey| roster.device(device).is_some_and(|(_, member)| member.role >= Role::Admin);
        let epoch_since_ms = roster.writable_epoch().and_then(|epoch| {
            let heads = live.replica.heads().iter().map(|head| head.head());
            let under_it = heads.filter(|head| head.epoch == epoch.tag() && by_admin(&head.device));
            under_it.map(|head| head.claimed_time_ms).min()
        });
        let epochless_since_ms = live.duties.epochless_since_ms;
        let moment = Moment { now_ms: clock_ms, epochless_since_ms, epoch_since_ms, random };
        let Some(seat) = self.seat() else { return };
        let (deed, again_ms) = match duty(&seat, &moment) {
            Ok(Duty { deed, again_ms }) => (deed, again_ms),
            Err(_) => (None, Some(clock_ms + DUTY_RETRY_MS)),
        };
        if let Some(live) = &mut self.live {
            live.duties.again_ms = again_ms;
        }
        if let Some(deed) = deed {
            let epoch = if deed.keys.is_some() { ", an epoch" } else { "" };
            self.events.push(format!("does its duty: {} ops{epoch}", deed.ops.len()));
            self.carry_out_deed(clock_ms, deed);
        }
    }

    /// Does what has become due since, and says so.
    pub(crate) fn duty_if_due(&mut self, now_ms: u64) {
        let clock_ms = self.machine.clock_ms(now_ms);
        if self.live.as_ref().and_then(|live| live.duties.again_ms).is_some_and(|due_ms| due_ms <= clock_ms) {
            self.do_duty(now_ms);
            self.carry_out(now_ms);
        }
    }

    fn chances(&mut self) -> [u8; 64] {
        let mut random = [0; 64];
        random[..32].copy_from_slice(&self.machine.luck.bytes32());
        random[32..].copy_from_slice(&self.machine.luck.bytes32());
        random
    }

    fn carry_out_deed(&mut self, clock_ms: u64, deed: Deed) {
        let Deed { ops, envelopes, keys } = deed;
        if self.stops_now() {
            return;
        }
        if let Some(keys) = keys {
            self.take_keys(clock_ms, keys);
        }
        if self.stops_now() {
            return;
        }
        self.durable.ops.extend(ops.iter().cloned());
        self.durable.envelopes.extend(envelopes.iter().cloned());
        if let Some(live) = &mut self.live {
            live.replica.handle(clock_ms, replicate::Input::LocalOps { ops, envelopes });
        }
    }

    /// The person here decides something about people and keys, if they may; what, and how many have to go by that.
    pub(crate) fn decide_about_people(
        &mut self,
        now_ms: u64,
        target: Option<SigKey>,
        choice: usize,
    ) -> Option<(&'static str, usize)> {
        let clock_ms = self.machine.clock_ms(now_ms);
        let random = self.chances();
        let seat = self.seat().filter(|seat| seat.member().is_some_and(|member| member.role >= Role::Admin))?;
        let whom = target.and_then(|device| seat.roster.device(&device)).map(|(_, member)| member.grant);
        let heads = self.live.as_ref()?.replica.heads();
        let (what, change): (_, Result<Change, RemovalError>) = match (choice, whom) {
            (0..=4, _) | (_, None) => ("gives new keys", rekey(&seat, &random)),
            (5..=7, Some(whom)) => {
                let cut = heads.last_of(|_, author| *author == whom);
                ("sends somebody away", remove_member(&seat, whom, cut, &random))
            }
            (_, Some(whom)) => ("makes somebody an admin", set_role(&seat, whom, Role::Admin, vec![], &random)),
        };
        let Change { deed, gone, .. } = change.ok()?;
        self.carry_out_deed(clock_ms, deed);
        Some((what, gone.len()))
    }

    /// The person here sends somebody away. Whether it is done.
    pub(crate) fn send_away(&mut self, now_ms: u64, target: SigKey) -> bool {
        const SENDS_AWAY: usize = 5;
        let decided = self.decide_about_people(now_ms, Some(target), SENDS_AWAY);
        decided.is_some_and(|(_, gone)| gone > 0) && self.live.is_some()
    }

    /// Ops that are known here and not there, in words.
    fn ops_beside(&self, other: &Self) -> Vec<String> {
        let (Some(live), Some(theirs)) = (&self.live, &other.live) else { return Vec::new() };
        let membership = live.replica.membership();
        let new = membership.log().ops().filter(|op| !theirs.replica.membership().contains(&op.id()));
        let story = |op: &SignedOp| {
            let kind = format!("{:?}", op.op().body);
            let kind = kind.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            let by: Vec<String> = op.op().signers.iter().map(|signer| signer.key.short().to_string()).collect();
            let stands = membership.roster().accepted(&op.id());
            let sealed = live.replica.envelopes().are_whole(op);
            let after: Vec<String> = op.op().deps.iter().map(|op| op.short().to_string()).collect();
            format!("{} {kind} by {by:?} after {after:?}, stands: {stands}, envelopes: {sealed}", op.id().short())
        };
        new.map(story).collect()
    }

    /// Who was sent away keeps the files as they are: nothing is written or taken back there any more. Of steps under way it is told how
    /// they ended, as the shipped service does.
    fn leave_the_disk(&mut self) {
        let Some(live) = &mut self.live else { return };
        let steps = live.steps.drain(..).chain(live.waiting.drain(..));
        live.reports.extend(steps.map(|(id, _)| not_done(id)));
        (live.scan, live.rescan) = (None, None);
        live.left_disk = true;
    }
}

impl World<'_> {
    /// Somebody who may decides something about people and keys.
    pub(crate) fn change_people(&mut self, member: usize) {
        let seated = self.seated();
        let others: Vec<usize> = seated.iter().copied().filter(|n| self.members[*n].index != 0).collect();
        let target = self.dice.pick(&others).map(|n| self.members[*n].device());
        let mut choice = self.dice.below(10);
        let people: BTreeSet<usize> = seated.iter().map(|n| self.members[*n].index).collect();
        if people.len() <= STAY_MIN && (5..=7).contains(&choice) {
            choice = 0;
        }
        let name = self.members[member].name;
        if let Some((what, gone)) = self.members[member].decide_about_people(self.now_ms, target, choice) {
            // What only the one who goes has got is theirs from now on, and waited for in vain.
            self.may_lack |= gone > 0;
            self.note(&format!("{name} {what}; {gone} have to go"));
            self.members[member].carry_out(self.now_ms);
        }
    }

    /// Members who belong to the folder by the log of the first, whom nobody can send away.
    pub(crate) fn seated(&self) -> Vec<usize> {
        let all = 0..self.members.len();
        let Some(roster) = self.members[0].roster() else { return all.collect() };
        all.filter(|n| roster.device(&self.members[*n].device()).is_some()).collect()
    }

    /// Everybody knows who belongs to the folder, whoever does not included; and nobody who went has the keys of today.
    pub(crate) fn all_know_who_belongs(&self) -> Result<(), String> {
        let Some(roster) = self.members[0].roster() else { return Ok(()) };
        let frontier = self.members[0].live.as_ref().map(|live| live.replica.membership().frontier());
        let epoch = roster.writable_epoch().map(|epoch| epoch.tag());
        let seated = self.seated();
        for (n, member) in self.members.iter().enumerate() {
            let name = member.name;
            if !seated.contains(&n) {
                if !member.is_out() {
                    return Err(format!("O8: {name} does not know that it does not belong to the folder any more"));
                }
                if epoch.is_some_and(|epoch| member.keys().has_epoch(&epoch)) {
                    return Err(format!("O5: {name} was sent away and has the keys of what is written now"));
                }
                continue;
            }
            let theirs = member.live.as_ref().map(|live| live.replica.membership().frontier());
            if theirs != frontier {
                let first = &self.members[0];
                let (ours, theirs) = (first.ops_beside(member), member.ops_beside(first));
                let other = first.name;
                return Err(format!(
                    "O2: {name} and {other} have different logs\n{other} alone has {ours:?}\n{name} alone has {theirs:?}"
                ));
            }
            if epoch.is_none_or(|epoch| !member.keys().has_epoch(&epoch)) {
                return Err(format!("O2: {name} belongs to the folder and has no key to write with"));
            }
        }
        Ok(())
    }
}
