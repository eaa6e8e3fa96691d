//! The folder's log as this device acts on it: keys that are opened, joins that are witnessed, keys handed on, ops of our own.
//!
//! What must hold: an op is durable before the replica, and with it anybody else, has it.

use super::*;

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
            can_write: roster.can_write(&self.device.public().sig) && self.epoch().is_some(),
            depths: roster.epochs().map(|epoch| (epoch.id.tag(), epoch.depth.into())).collect(),
        }
    }

    /// The log or its envelopes grew: new keys are opened, joins witnessed, missing grants given.
    pub(super) fn membership_changed(&mut self) {
        self.open_keys();
        self.witness_joins();
        self.give_missing_grants();
        self.start_engine();
        let standing = self.standing();
        self.tell_engine(Input::Standing(standing));
        self.announce();
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

    /// Whoever sees a join first lets it take effect, if the invite still stands by our clock (rule R13).
    pub(super) fn witness_joins(&mut self) {
        let now = self.around.now_ms();
        let Some(author) = self.author() else { return };
        let membership = self.replica.membership();
        let roster = membership.roster();
        if membership.roster().policy().approve_joins {
            return;
        }
        let witnessed: BTreeSet<OpId> = membership
            .log()
            .ops()
            .filter_map(|op| match &op.op().body {
                OpBody::Witness { join, .. } => Some(*join),
                _ => None,
            })
            .collect();
        let mut due = Vec::new();
        for op in membership.log().ops() {
            let OpBody::Join { invite, .. } = &op.op().body else { continue };
            let open = roster.invite(invite).is_some_and(|i| i.open && now <= i.expires_ms);
            if open && !witnessed.contains(&op.id()) && roster.member(&op.id()).is_none() {
                match witness(membership.log(), author, op.id(), now) {
                    Ok(op) => due.push(op),
                    Err(why) => tracing::warn!(%why, "a join could not be witnessed"),
                }
            }
        }
        if !due.is_empty() {
            self.add_ops(due, Vec::new());
        }
    }

    pub(super) fn give_missing_grants(&mut self) {
        let random = self.around.random();
        let (Some(author), Some(keys)) = (self.author(), self.keys.clone()) else { return };
        let membership = self.replica.membership();
        if membership.roster().missing_grants().is_empty() {
            return;
        }
        match repair_grants(membership.log(), membership.roster(), &keys, author, &random) {
            Ok(granted) if !granted.is_empty() => {
                let envelopes = granted.iter().map(|g| grant_envelope(g.op.id(), g.envelope.clone())).collect();
                self.add_ops(granted.into_iter().map(|g| g.op).collect(), envelopes);
            }
            Ok(_) => {}
            Err(why) => tracing::debug!(%why, "keys could not be handed on"),
        }
    }

    /// Makes ops durable, then lets everybody have them.
    pub(crate) fn add_ops(&mut self, ops: Vec<SignedOp>, envelopes: Vec<OpEnvelopes>) {
        let now = self.around.now_ms();
        if let Err(why) = self.records.put_ops(ops.iter()) {
            return self.trouble(why.to_string());
        }
        for sent in &envelopes {
            if let Err(why) = self.records.put_envelopes(sent) {
                return self.trouble(why.to_string());
            }
        }
        self.replica.handle(now, replicate::Input::LocalOps { ops, envelopes });
    }

    /// The names members gave themselves, by the op that admitted them.
    pub(crate) fn member_name(&self, grant: &OpId) -> Option<String> {
        let membership = self.replica.membership();
        let keys = self.keys.as_deref()?;
        if let Some(op) = membership.op(grant) {
            return open_label(keys, op.op()).ok().flatten();
        }
        // The founder came in by the genesis, which has no room for a name: their first policy says it.
        let named = |op: &&SignedOp| {
            matches!(op.op().body, OpBody::Policy { .. }) && op.op().signers.iter().any(|signer| signer.grant == *grant)
        };
        let op = membership.log().ops().find(named)?;
        open_label(keys, op.op()).ok().flatten()
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
