//! The folder's log as this device acts on it: keys that are opened, what is to be done unasked, ops of our own. What is decided
//! is decided in `cobox_core::members`; here it is carried out.
//!
//! What must hold: an op is durable before the replica, and with it anybody else, has it.

use super::*;
use crate::folder::sealing::seal_on_all_cores;

/// What could not be done is tried again after this.
const DUTY_RETRY_MS: u64 = 60_000;

impl FolderActor {
    pub(super) fn author(&self) -> Option<Author<'_>> {
        let (_, member) = self.replica.membership().roster().device(&self.device.public().sig)?;
        Some(Author { grant: member.grant, key: &self.device.sig })
    }

    /// The epoch to write under, if its secret is here.
    pub(crate) fn epoch(&self) -> Option<EpochTag> {
        let epoch = self.replica.membership().roster().writable_epoch()?.tag();
        self.keys.as_ref().filter(|keys| keys.has_epoch(&epoch)).map(|_| epoch)
    }

    /// The keys held here.
    pub(crate) fn keys(&self) -> Option<&Arc<FolderKeys>> {
        self.keys.as_ref()
    }

    /// What the membership says now.
    pub(crate) fn standing(&self) -> Standing {
        let roster = self.replica.membership().roster();
        Standing {
            auth: self.replica.membership().frontier(),
            epoch: self.epoch(),
            can_write: roster.can_write(&self.device.public().sig),
            depths: roster.epochs().map(|epoch| (epoch.id.tag(), epoch.depth.into())).collect(),
        }
    }

    /// The log or its envelopes grew: new keys are opened, and what follows for this device is done.
    pub(super) fn membership_changed(&mut self) {
        self.open_keys();
        self.do_duty();
        self.mind_being_out();
        self.tell_who_came();
        self.tell_who_asks();
        self.hear_what_to_forget(false);
        self.tell_what_to_forget();
        self.start_engine();
        let standing = self.standing();
        self.tell_engine(Input::Standing(standing));
        self.announce();
    }

    /// This device with what it knows of the folder.
    pub(crate) fn seat(&self) -> Seat<'_> {
        let membership = self.replica.membership();
        Seat {
            log: membership.log(),
            roster: membership.roster(),
            keys: self.keys.as_deref(),
            device: &self.device.sig,
            sealing: seal_on_all_cores,
        }
    }

    /// Does the next thing that this device has to do for its folder unasked. What it adds to the log brings it here again.
    pub(super) fn do_duty(&mut self) {
        let now_ms = self.around.now_ms();
        match self.replica.membership().roster().writable_epoch() {
            Some(_) => self.epochless_since_ms = None,
            None => self.epochless_since_ms = Some(self.epochless_since_ms.map_or(now_ms, |since| since.min(now_ms))),
        }
        let moment = Moment {
            now_ms,
            epochless_since_ms: self.epochless_since_ms,
            epoch_since_ms: self.epoch_since_ms(),
            random: self.chances(),
        };
        match duty(&self.seat(), &moment) {
            Ok(Duty { deed, again_ms }) => {
                self.duty_again_ms = again_ms;
                if let Some(deed) = deed {
                    self.carry_out_deed(deed);
                }
            }
            Err(why) => {
                self.duty_again_ms = Some(now_ms + DUTY_RETRY_MS);
                tracing::warn!(%why, "what this device should do for the folder is not done yet");
            }
        }
    }

    /// When the writable epoch was first written under, by what heads of admins claim: whoever else could claim an early time could have
    /// one epoch after the other started.
    fn epoch_since_ms(&self) -> Option<u64> {
        let roster = self.replica.membership().roster();
        let epoch = roster.writable_epoch()?.tag();
        let by_admin = |device: &SigKey| roster.device(device).is_some_and(|(_, member)| member.role >= Role::Admin);
        let heads = self.replica.heads().iter().map(SignedHead::head);
        let under_it = heads.filter(|head| head.epoch == epoch && by_admin(&head.device));
        under_it.map(|head| head.claimed_time_ms).min()
    }

    /// Random bytes for ops that seal something.
    pub(crate) fn chances(&self) -> [u8; 64] {
        let mut random = [0; 64];
        random[..32].copy_from_slice(&self.around.random());
        random[32..].copy_from_slice(&self.around.random());
        random
    }

    /// Carries out what was decided: the keys are kept before anybody hears of their epoch.
    pub(crate) fn carry_out_deed(&mut self, deed: Deed) {
        let Deed { ops, envelopes, keys } = deed;
        if let Some(keys) = keys {
            self.take_keys(keys);
        }
        self.add_ops(ops, envelopes);
    }

    /// Whether this device, which was a member's, is none any more.
    pub(crate) fn is_out(&self) -> bool {
        self.author().is_none()
    }

    /// Nobody comes in unnoticed.
    fn tell_who_came(&mut self) {
        let roster = self.replica.membership().roster();
        let now: BTreeSet<OpId> = roster.members().map(|member| member.grant).collect();
        let Some(before) = self.known_members.replace(now) else { return };
        let roster = self.replica.membership().roster();
        for member in roster.members().filter(|member| !before.contains(&member.grant)) {
            let name = self.member_name(&member.grant).unwrap_or_else(|| member.sig.short());
            self.around.tell(&self.config, Happened::MemberJoined { name, key: member.sig });
        }
    }

    /// Who asks to be let in is told of at once, to whoever may decide.
    fn tell_who_asks(&mut self) {
        let waiting = if self.role() >= Some(Role::Admin) { self.waiting_joins() } else { Vec::new() };
        let now: BTreeSet<OpId> = waiting.iter().map(|join| join.join).collect();
        let Some(before) = self.known_asking.replace(now) else { return };
        for join in waiting.into_iter().filter(|join| !before.contains(&join.join)) {
            let name = join.name.unwrap_or_else(|| join.member.short());
            self.around.tell(&self.config, Happened::JoinWaiting { name, key: join.member });
        }
    }

    /// Who asks to be let in, the first to ask first.
    pub(crate) fn waiting_joins(&self) -> Vec<WaitingJoin> {
        waiting_joins(&self.seat(), self.around.now_ms())
    }

    /// Whoever was sent away keeps the files as they are: nothing is written or taken back there any more.
    fn mind_being_out(&mut self) {
        if self.is_out() && self.disk.is_some() {
            self.detach_disk();
            self.around.tell(&self.config, Happened::Out);
        }
    }

    pub(super) fn open_keys(&mut self) {
        let membership = self.replica.membership();
        let envelopes: Vec<_> = membership
            .log()
            .ops()
            .filter_map(|op| self.replica.envelopes().of(&op.id()))
            .flat_map(|sent| sent.envelopes)
            .collect();
        let known = self.keys.as_deref().cloned();
        let opened = open_epochs(
            membership.log(),
            membership.roster(),
            &envelopes,
            &[&self.device.hpke, &self.slot.hpke],
            known,
        );
        if !opened.new.is_empty()
            && let Some(keys) = opened.keys
        {
            self.take_keys(keys);
        }
    }

    pub(super) fn take_keys(&mut self, keys: FolderKeys) {
        (self.keep_keys)(&keys);
        self.tell_engine(Input::Keys(Box::new(keys.clone())));
        let keys = Arc::new(keys);
        if let Some(disk) = &self.disk {
            let _ = disk.applier.send(Order::Keys(keys.clone()));
        }
        self.keys = Some(keys);
    }

    /// Makes ops durable, then lets everybody have them. Envelopes first: an op whose envelopes a stop took would keep all others from
    /// writing, until the one after it.
    pub(crate) fn add_ops(&mut self, ops: Vec<SignedOp>, envelopes: Vec<OpEnvelopes>) {
        let now = self.around.now_ms();
        for sent in &envelopes {
            if let Err(why) = self.records.put_envelopes(sent) {
                return self.trouble(why.to_string());
            }
        }
        if let Err(why) = self.records.put_ops(ops.iter()) {
            return self.trouble(why.to_string());
        }
        self.replica.handle(now, replicate::Input::LocalOps { ops, envelopes });
    }

    /// What the person here calls a member: a nickname, or else what they call themselves. By the op that admitted them.
    pub(crate) fn member_name(&self, grant: &OpId) -> Option<String> {
        self.nickname(grant).map(str::to_owned).or_else(|| self.own_name(grant))
    }

    /// What the person here calls a member, where that is not what they call themselves.
    pub(crate) fn nickname(&self, grant: &OpId) -> Option<&str> {
        self.config.nicknames.get(&grant.to_string()).map(String::as_str)
    }

    /// The names members gave themselves.
    pub(crate) fn own_name(&self, grant: &OpId) -> Option<String> {
        let membership = self.replica.membership();
        let keys = self.keys.as_deref()?;
        if let Some(op) = membership.op(grant) {
            let by_code = |invite: &OpId| joiner_name(keys, membership.op(invite)?.op(), op.op());
            return match &op.op().body {
                OpBody::Join { invite, .. } => by_code(invite).or_else(|| open_label(keys, op.op()).ok().flatten()),
                _ => open_label(keys, op.op()).ok().flatten(),
            };
        }
        // The founder came in by the genesis, which has no room for a name: their first policy says it. Later ones say nothing.
        let named = |op: &&SignedOp| {
            matches!(op.op().body, OpBody::Policy { .. }) && op.op().signers.iter().any(|signer| signer.grant == *grant)
        };
        membership.log().ops().filter(named).find_map(|op| open_label(keys, op.op()).ok().flatten())
    }

    /// Six words for the keys that a member joined with; none if they did not come by an invite.
    pub(crate) fn member_words(&self, grant: &OpId) -> Option<String> {
        let membership = self.replica.membership();
        join_words(&membership.log().folder(), membership.op(grant)?.op())
    }

    /// Writes an op of our own.
    pub(crate) fn propose(&mut self, body: OpBody) -> Result<OpId, String> {
        let author = self.author().ok_or("this device is no member of the folder")?;
        let op = propose(self.replica.membership().log(), author, body).map_err(|why| why.to_string())?;
        let id = op.id();
        self.add_ops(vec![op], Vec::new());
        Ok(id)
    }

    /// Our role, if we are a member.
    pub(crate) fn role(&self) -> Option<Role> {
        self.replica.membership().roster().device(&self.device.public().sig).map(|(_, member)| member.role)
    }

    /// The author for ops that others build.
    pub(crate) fn with_author<T>(&self, f: impl FnOnce(&Replica, Author<'_>, &FolderKeys) -> T) -> Option<T> {
        Some(f(&self.replica, self.author()?, self.keys.as_deref()?))
    }

    /// A label under the current epoch.
    pub(crate) fn label<'a>(&'a self, text: &'a str) -> Option<Label<'a>> {
        Some(Label { keys: self.keys.as_deref()?, epoch: self.epoch()?, text })
    }
}
