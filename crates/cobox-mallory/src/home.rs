//! A folder without a network: Alice founded it, Mallory is an editor in it, Rita may only read, seeder 50 is hired. Everybody's secrets
//! are at hand, so that a script can sign as whoever it wants to be.

use anyhow::{Context, Result};
use cobox_core::content::inline_digest;
use cobox_core::engine::HeadNote;
use cobox_core::keys::{DeviceSecret, FolderKeys, Profile, RootSecret, Slot};
use cobox_core::members::{Author, Founding, FoundingRandom, found, propose, seeder_grant};
use cobox_core::seal::SealedBlock;
use cobox_core::state::{Body, Commit, Content, State};
use cobox_core::tree::Tree;
use cobox_proto::codec::Canonical;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::Offer;
use cobox_proto::id::{ActorId, Cid, EpochTag, FolderId, HeadId, OpId, SigKey};
use cobox_proto::members::EnvelopeList;
use cobox_proto::members::{FolderKind, Genesis, KeyPair, Log, OpBody, Policy, Retention, Role, SignedOp};
use cobox_proto::replicate::{Closed, Input, Kept, Output, PeerId, Replica};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{Message, OpEnvelopes};

/// One person's secrets.
pub(crate) struct Person {
    pub(crate) slot: Slot,
    pub(crate) device: DeviceSecret,
    pub(crate) grant: OpId,
}

impl Person {
    fn new(n: u8) -> Self {
        let slot = RootSecret::from_entropy([n; 16]).slot(1);
        Self { slot, device: DeviceSecret::from_seed(&[n; 32]), grant: OpId::ZERO }
    }

    pub(crate) fn key(&self) -> SigKey {
        self.device.sig.public()
    }

    pub(crate) fn who(&self) -> Who {
        Who { kind: KeyKind::Device, key: self.key() }
    }

    pub(crate) fn author(&self) -> Author<'_> {
        Author { grant: self.grant, key: &self.device.sig }
    }

    pub(crate) fn pair(&self) -> KeyPair {
        self.device.public()
    }
}

/// The seeder's key.
pub(crate) fn seeder_key() -> SecretKey {
    SecretKey::from_seed(&[50; 32])
}

pub(crate) fn seeder() -> Who {
    Who { kind: KeyKind::Seeder, key: seeder_key().public() }
}

/// Somebody's key that is nothing to the folder.
pub(crate) fn strange_key() -> SecretKey {
    SecretKey::from_seed(&[99; 32])
}

/// The folder and its people.
pub(crate) struct Home {
    pub(crate) log: Log,
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
    pub(crate) keys: FolderKeys,
    pub(crate) epoch: EpochTag,
    pub(crate) alice: Person,
    pub(crate) mallory: Person,
    pub(crate) rita: Person,
    pub(crate) offer: Offer,
}

impl Home {
    /// Folder number `n`: with other numbers it is another folder of the same people.
    pub(crate) fn number(n: u8) -> Result<Self> {
        let mut alice = Person::new(1);
        let (kind, profile, policy) = (FolderKind::Folder, Profile::Cdc, Policy::default());
        let founding =
            Founding { kind, slot: &alice.slot, device: &alice.device, profile, high_privacy: false, policy };
        let random = FoundingRandom { nonce: [n; 32], shape: [n.wrapping_add(2); 32], epoch: [n.wrapping_add(3); 64] };
        let founded = found(founding, &random)?;
        alice.grant = founded.log.genesis().op_id();
        let list = EnvelopeList::of(&founded.epoch.envelopes);
        let sent = OpEnvelopes { op: founded.epoch.op.id(), list, envelopes: founded.epoch.envelopes };
        let epoch = founded.keys.epochs().next().map(|(tag, _)| *tag).context("a new folder has an epoch")?;
        let mut home = Self {
            ops: founded.log.ops().cloned().collect(),
            log: founded.log,
            envelopes: vec![sent],
            keys: founded.keys,
            epoch,
            alice,
            mallory: Person::new(2),
            rita: Person::new(3),
            offer: offer(),
        };
        home.mallory.grant = home.admit(&Person::new(2), Role::Editor)?;
        home.rita.grant = home.admit(&Person::new(3), Role::Reader)?;
        let (key, hash) = (seeder_key().public(), home.offer.grant_hash(&home.id()));
        let hired = seeder_grant(&home.log, home.alice.author(), key, hash, 1 << 30, Retention::default(), 50)?;
        home.add(hired)?;
        Ok(home)
    }

    pub(crate) fn new() -> Result<Self> {
        Self::number(1)
    }

    fn admit(&mut self, who: &Person, role: Role) -> Result<OpId> {
        let body = OpBody::Grant { member: who.slot.public(), device: who.pair(), role };
        let op = propose(&self.log, self.alice.author(), body)?;
        self.add(op)
    }

    pub(crate) fn add(&mut self, op: SignedOp) -> Result<OpId> {
        let id = op.id();
        self.log.add(op.clone())?;
        self.ops.push(op);
        Ok(id)
    }

    pub(crate) fn id(&self) -> FolderId {
        self.log.folder()
    }

    pub(crate) fn genesis(&self) -> Genesis {
        self.log.genesis().clone()
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept { ops: self.ops.clone(), envelopes: self.envelopes.clone(), ..Kept::default() }
    }

    /// What any party of the folder runs.
    pub(crate) fn replica(&self) -> Replica {
        Replica::restore(self.genesis(), self.kept())
    }

    pub(crate) fn text(&self, text: &[u8]) -> Body {
        Body {
            size: text.len() as u64,
            mtime_ns: 0,
            executable: false,
            plain_digest: inline_digest(&self.keys, text),
            content: Content::Inline(text.into()),
        }
    }

    /// A state that a person's first actor writes.
    pub(crate) fn state(&self, who: &Person, write: impl FnOnce(&mut Commit<'_>)) -> Result<State> {
        let mut state = State::new();
        let mut commit = Commit::new(&mut state, self.actor(who, 1), who.key(), self.keys.shape());
        write(&mut commit);
        commit.finish();
        Ok(state)
    }

    pub(crate) fn tree(&self, state: &State) -> Result<(Tree, Vec<SealedBlock>)> {
        Ok(Tree::build(state, &self.keys, self.epoch)?)
    }

    pub(crate) fn actor(&self, who: &Person, n: u8) -> ActorId {
        ActorId::of(&self.id(), &who.key(), &[n; 16])
    }

    /// An unsigned head after `prev`, by actor `n` of this person.
    pub(crate) fn head(&self, who: &Person, n: u8, prev: Option<&SignedHead>, root: Cid) -> Result<Head> {
        let seq = prev.map_or(1, |prev| prev.head().seq + 1);
        let mut head = Head {
            folder: self.id(),
            device: who.key(),
            actor: self.actor(who, n),
            actor_nonce: (seq == 1).then_some([n; 16]),
            seq,
            prev: prev.map(SignedHead::id),
            skip: None,
            root,
            epoch: self.epoch,
            auth: self.log.frontier(),
            merged: vec![],
            new_blocks: 4,
            new_bytes: 4096,
            claimed_time_ms: 0,
            delta: None,
            sealed: vec![],
        };
        head.auth.sort();
        let note = HeadNote { counter: seq, vault: None }.to_bytes();
        head.sealed = self.keys.seal_note(&self.epoch, "head", &head.clear_bytes(), &note)?;
        Ok(head)
    }

    pub(crate) fn signed(&self, who: &Person, n: u8, prev: Option<&SignedHead>, root: Cid) -> Result<SignedHead> {
        Ok(self.head(who, n, prev, root)?.sign(&who.device.sig)?)
    }

    /// `count` heads of one actor, with the skip pointers they must have.
    pub(crate) fn chain(&self, who: &Person, n: u8, count: u64) -> Result<Vec<SignedHead>> {
        let mut chain: Vec<SignedHead> = Vec::new();
        for seq in 1..=count {
            let mut head = self.head(who, n, chain.last(), cid(seq))?;
            let skip = seq & (seq - 1);
            head.skip = (skip > 0).then(|| chain[skip as usize - 1].id());
            chain.push(head.sign(&who.device.sig)?);
        }
        Ok(chain)
    }
}

fn offer() -> Offer {
    use cobox_proto::hosting::Ticket;
    use cobox_proto::id::{EndpointId, OfferId};
    use cobox_proto::wire::Party;
    Offer {
        seeder: seeder_key().public(),
        ticket: Ticket { party: Party::Seeder, endpoint: EndpointId([7; 32]), addresses: vec![] },
        id: OfferId([6; 16]),
        secret: [5; 16],
        quota_bytes: 1 << 30,
        keep_days: 0,
        expires_ms: 1_000_000,
    }
}

/// The name of some block.
pub(crate) fn cid(n: u64) -> Cid {
    Cid::of(&n.to_le_bytes())
}

/// The name of some head that is nowhere.
pub(crate) fn nowhere(n: u64) -> HeadId {
    HeadId(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

/// Somebody at home, with an evil guest whose every word is written by hand.
pub(crate) struct Visit {
    pub(crate) home: Home,
    pub(crate) replica: Replica,
    pub(crate) said: Vec<Output>,
    now_ms: u64,
}

/// The guest.
pub(crate) const GUEST: PeerId = PeerId(1);

impl Visit {
    pub(crate) fn by(who: impl FnOnce(&Home) -> Who) -> Result<Self> {
        let home = Home::new()?;
        let who = who(&home);
        let replica = home.replica();
        let mut visit = Self { home, replica, said: vec![], now_ms: 0 };
        visit.enters(GUEST, who);
        visit.said.clear();
        Ok(visit)
    }

    pub(crate) fn by_mallory() -> Result<Self> {
        Self::by(|home| home.mallory.who())
    }

    pub(crate) fn by_seeder() -> Result<Self> {
        Self::by(|_| seeder())
    }

    pub(crate) fn enters(&mut self, peer: PeerId, who: Who) {
        self.tell(Input::PeerOpened { peer, who, ours: KeyKind::Device });
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.replica.handle(self.now_ms, input);
        self.said.extend(std::iter::from_fn(|| self.replica.poll_output()));
    }

    /// Time has come to this point.
    pub(crate) fn comes_to(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.tell(Input::Tick);
    }

    pub(crate) fn hears(&mut self, message: Message) {
        self.hears_from(GUEST, message);
    }

    pub(crate) fn hears_from(&mut self, peer: PeerId, message: Message) {
        self.tell(Input::Received { peer, message });
    }

    pub(crate) fn hears_heads(&mut self, heads: &[&SignedHead]) {
        self.hears(Message::Heads { heads: heads.iter().map(|head| head.bytes().to_vec()).collect() });
    }

    /// Whether the guest was sent away for what it said.
    pub(crate) fn sent_away(&self) -> bool {
        let away = |o: &Output| matches!(o, Output::ClosePeer { peer: GUEST, why: Closed::Misbehaved(_) });
        self.said.iter().any(away)
    }

    /// Whether a head of this device was refused for ever, with its name.
    pub(crate) fn named(&self, device: &SigKey) -> bool {
        let named = |o: &Output| matches!(o, Output::HeadRefused { device: of, .. } if of == device);
        self.said.iter().any(named)
    }

    pub(crate) fn has(&self, wanted: impl Fn(&Output) -> bool) -> bool {
        self.said.iter().any(wanted)
    }
}
