//! A folder with people in it, for stories told in bytes. Person `n` has the device key `key(n)` and the member key `key(n + 100)`;
//! person 1 founded the folder, 2 is an editor, 3 may only read, 50 is its seeder, 60 holds an invite.

use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::{Offer, Promise, Ticket};
use cobox_proto::id::{ActorId, Cid, EndpointId, EpochId, EpochTag, Hash, HeadId, OfferId, OpId};
use cobox_proto::members::{
    Envelope, EnvelopeList, EpochParams, FolderKind, Genesis, HpkeKey, KeyPair, Log, Op, OpBody, Padding, Policy,
    Retention, Role, SignedOp, Signer, resolve,
};
use cobox_proto::replicate::Kept;
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{OpEnvelopes, Party};

use crate::feed::Feed;

/// When stories begin.
pub(crate) const START_MS: u64 = 1_000_000;
/// The people, the seeder and the invite's holder.
const KEYS: [u8; 8] = [1, 2, 3, 4, 50, 60, 101, 102];

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn pair(n: u8) -> KeyPair {
    let hpke = HpkeKey::from_slice(&[n; HpkeKey::LEN]).expect("the length is right");
    KeyPair { sig: key(n).public(), hpke }
}

/// The folder that person 1 founded.
pub(crate) fn genesis() -> Genesis {
    Genesis {
        kind: FolderKind::Folder,
        nonce: [7; 32],
        member: pair(101),
        device: pair(1),
        shape: [0; 32],
        policy: Policy::default(),
        founder_sig: None,
    }
}

/// What the seeder promised.
pub(crate) fn offer() -> Offer {
    let ticket = Ticket { party: Party::Seeder, endpoint: EndpointId([5; 32]), addresses: vec![] };
    let (quota_bytes, expires_ms) = (1 << 20, u64::MAX);
    Offer {
        seeder: key(50).public(),
        ticket,
        id: OfferId([6; 16]),
        secret: [7; 16],
        quota_bytes,
        keep_days: 90,
        expires_ms,
    }
}

/// See the module's text. What a story makes is remembered, so that later steps can name it.
#[derive(Clone)]
pub(crate) struct Stage {
    log: std::sync::Arc<Log>,
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
    pub(crate) heads: Vec<SignedHead>,
    epoch: EpochTag,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let log = Log::new(genesis());
        let epoch = EpochId([1; 32]);
        let mut stage = Self { log: log.into(), ops: vec![], envelopes: vec![], heads: vec![], epoch: epoch.tag() };
        let hired = offer().grant_hash(&stage.log.folder());
        let (seeder, retention) = (key(50).public(), Retention::default());
        stage.founder(OpBody::Grant { member: pair(102), device: pair(2), role: Role::Editor });
        stage.founder(OpBody::Grant { member: pair(103), device: pair(3), role: Role::Reader });
        let KeyPair { sig, hpke } = pair(60);
        stage.founder(OpBody::Invite {
            sig,
            hpke,
            role: Role::Editor,
            max_uses: 2,
            expires_ms: u64::MAX,
            grant: false,
        });
        stage.founder(OpBody::SeederGrant {
            seeder,
            offer_hash: hired,
            quota_bytes: 1 << 20,
            retention,
            member_share: 50,
        });
        let roster = resolve(&stage.log);
        let wanted = roster.recipients_wanted();
        let envelopes: Vec<Envelope> =
            wanted.iter().map(|to| Envelope { recipient: to.key_id, bytes: vec![9; 40] }).collect();
        let list = EnvelopeList::of(&envelopes);
        let params = EpochParams { block_ver: 1, suite: 1, codec: 0, padding: Padding::Padme };
        let (recipients, hash) = (list.recipients(), list.hash());
        let op = stage.founder(OpBody::EpochBundle {
            parents: vec![],
            id: epoch,
            params,
            recipients,
            envelopes: hash,
            history: vec![],
        });
        stage.envelopes.push(OpEnvelopes { op, list, envelopes });
        for n in [1, 2] {
            let head = stage.unsigned_head(n, &[]).sign(&key(n)).expect("a small head");
            stage.heads.push(head);
        }
        stage
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        self.log.genesis()
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept { ops: self.ops.clone(), envelopes: self.envelopes.clone(), ..Kept::default() }
    }

    pub(crate) fn promise(&self) -> Promise {
        Promise::of(&self.log.folder(), [&offer()])
    }

    fn founder(&mut self, body: OpBody) -> OpId {
        let signers = vec![Signer { grant: self.log.genesis().op_id(), key: key(1).public() }];
        let deps = self.log.frontier();
        let op = Op { folder: self.log.folder(), signers, deps, body, sealed: vec![] };
        let op = SignedOp::sign(op, &[&key(1)]).expect("a small op");
        let mut log = Log::clone(&self.log);
        log.add(op.clone()).expect("it fits on what is there");
        self.log = log.into();
        self.ops.push(op.clone());
        op.id()
    }

    fn unsigned_head(&self, n: u8, merged: &[HeadId]) -> Head {
        let (folder, device) = (self.log.folder(), key(n).public());
        Head {
            folder,
            device,
            actor: ActorId::of(&folder, &device, &[n; 16]),
            actor_nonce: Some([n; 16]),
            seq: 1,
            prev: None,
            skip: None,
            root: cid(n),
            epoch: self.epoch,
            auth: self.log.frontier(),
            merged: merged.to_vec(),
            new_blocks: 3,
            new_bytes: 4096,
            claimed_time_ms: START_MS,
            delta: None,
            sealed: vec![],
        }
    }

    /// Somebody of the folder, or a stranger, as what they may show.
    pub(crate) fn who(&self, feed: &mut Feed<'_>) -> Who {
        let n = feed.pick(&KEYS).copied().unwrap_or(1);
        let kinds = [KeyKind::Device, KeyKind::Seeder, KeyKind::Member, KeyKind::Invite];
        let kind = match n {
            50 => KeyKind::Seeder,
            60 => KeyKind::Invite,
            100.. => KeyKind::Member,
            _ => KeyKind::Device,
        };
        let kind = if feed.u8() == 7 { kinds[usize::from(feed.u8()) % 4] } else { kind };
        Who { kind, key: key(n).public() }
    }

    fn op_id(&self, feed: &mut Feed<'_>) -> OpId {
        match feed.u8() {
            0 => self.log.genesis().op_id(),
            255 => OpId([feed.u8(); 32]),
            at => self.ops[usize::from(at) % self.ops.len()].id(),
        }
    }

    pub(crate) fn head_id(&self, feed: &mut Feed<'_>) -> HeadId {
        match feed.u8() {
            255 => HeadId([feed.u8(); 32]),
            at => self.heads[usize::from(at) % self.heads.len()].id(),
        }
    }

    /// A signed op of any kind, entitled or not.
    pub(crate) fn op(&mut self, feed: &mut Feed<'_>) -> Option<SignedOp> {
        let by = feed.pick(&KEYS).copied().unwrap_or(1);
        let grant = if by == 1 && feed.flag() { self.log.genesis().op_id() } else { self.op_id(feed) };
        let (new, cut) = (60 + feed.u8() % 8, vec![self.head_id(feed)]);
        let role = [Role::Reader, Role::Editor, Role::Admin, Role::Owner][usize::from(feed.u8()) % 4];
        let mut keys = vec![key(by)];
        let mut signers = vec![Signer { grant, key: key(by).public() }];
        // The two last kinds came later: what the other numbers stand for stays as it was.
        let kind = feed.u8();
        let body = match if kind < 250 { kind % 15 } else { 15 + kind % 2 } {
            0 => OpBody::Grant { member: pair(new + 100), device: pair(new), role },
            1 => {
                let KeyPair { sig, hpke } = pair(new);
                let (max_uses, expires_ms) = (feed.u16(), feed.u64());
                OpBody::Invite { sig, hpke, role, max_uses, expires_ms, grant: feed.flag() }
            }
            2 => OpBody::CancelInvite { invite: self.op_id(feed), at_ms: feed.u64() },
            3 => {
                let invite = self.op_id(feed);
                signers = vec![
                    Signer { grant: invite, key: key(60).public() },
                    Signer { grant: OpId::ZERO, key: key(new).public() },
                ];
                keys = vec![key(60), key(new)];
                OpBody::Join { invite, member: pair(new + 100), device: pair(new) }
            }
            4 => OpBody::Witness { join: self.op_id(feed), at_ms: feed.u64() },
            5 => {
                let proof = pair(new).prove_device(&key(new), &self.log.folder(), &grant);
                OpBody::AddDevice { device: pair(new), proof }
            }
            6 => OpBody::RemoveDevice { device: key(feed.pick(&KEYS).copied()?).public(), cut },
            7 => OpBody::SetRole { grant: self.op_id(feed), role, cut },
            8 => OpBody::Remove { grant: self.op_id(feed), cut },
            9 => OpBody::SeederGrant {
                seeder: key(feed.pick(&KEYS).copied()?).public(),
                offer_hash: offer().grant_hash(&self.log.folder()),
                quota_bytes: feed.u64(),
                retention: Retention::default(),
                member_share: feed.u8(),
            },
            10 => OpBody::SeederEnd { seeder: self.op_id(feed) },
            11 => {
                let (approve_joins, quorum, delay_days) = (feed.flag(), feed.u8(), feed.u16());
                OpBody::Policy { policy: Policy { approve_joins, quorum, delay_days } }
            }
            12 => OpBody::KeyUpdate { grant: self.op_id(feed), keys: pair(new + 100) },
            13 => {
                let list = &self.envelopes.first()?.list;
                OpBody::EpochBundle {
                    parents: vec![EpochId([1; 32])],
                    id: EpochId([feed.u8(); 32]),
                    params: EpochParams { block_ver: 1, suite: 1, codec: 0, padding: Padding::Padme },
                    recipients: list.recipients(),
                    envelopes: list.hash(),
                    history: feed.array::<4>().to_vec(),
                }
            }
            15 => OpBody::Forget {
                at_ms: feed.u64(),
                states: vec![self.head_id(feed).tag()],
                blocks: vec![cid(feed.u8())],
            },
            16 => OpBody::ForgetEnd { forgets: vec![self.op_id(feed)] },
            _ => OpBody::EpochGrant {
                epochs: vec![EpochId([1; 32])],
                recipient: Hash([feed.u8(); 32]),
                envelope: Hash([feed.u8(); 32]),
                member: self.op_id(feed),
            },
        };
        let deps = match feed.u8() {
            0 => self.log.frontier(),
            1 => self.ops.last().map(SignedOp::id).into_iter().collect(),
            _ => vec![self.op_id(feed)],
        };
        let op = Op { folder: self.log.folder(), signers, deps, body, sealed: vec![] };
        let op = SignedOp::sign(op, &keys.iter().collect::<Vec<_>>()).ok()?;
        self.ops.push(op.clone());
        Some(op)
    }

    /// A signed head: the next of its device, or a second first one, over what is known or not.
    pub(crate) fn head(&mut self, feed: &mut Feed<'_>) -> Option<SignedHead> {
        let n = [1, 2, 3, 4][usize::from(feed.u8()) % 4];
        let mut head = self.unsigned_head(n, &[]);
        let prev = self.heads.iter().filter(|known| known.head().device == head.device).nth(usize::from(feed.u8()));
        if let Some(prev) = prev {
            head.prev = Some(prev.id());
            head.actor_nonce = None;
            head.seq = if feed.u8() == 255 { feed.u64().max(2) } else { prev.head().seq.checked_add(1)? };
            if head.seq & (head.seq - 1) != 0 {
                head.skip = Some(self.head_id(feed));
            }
        }
        let mut merged: Vec<HeadId> = (0..feed.u8() % 3).map(|_| self.head_id(feed)).collect();
        merged.sort();
        merged.dedup();
        head.merged = merged;
        head.root = cid(feed.u8());
        head.auth = match feed.u8() {
            0 => self.log.frontier(),
            _ => vec![self.op_id(feed)],
        };
        if feed.u8() == 255 {
            head.epoch = EpochTag([feed.u8(); 16]);
        }
        (head.new_blocks, head.new_bytes) = (u64::from(feed.u8()), u64::from(feed.u16()) << (feed.u8() % 48));
        head.delta = (feed.u8() == 1).then(|| cid(feed.u8()));
        let head = head.sign(&key(n)).ok()?;
        self.heads.push(head.clone());
        Some(head)
    }
}

/// One of a few blocks.
pub(crate) fn cid(n: u8) -> Cid {
    Cid::of(&[n % 24])
}
