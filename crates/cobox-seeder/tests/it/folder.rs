//! A folder made by hand: membership by real ops, blocks with real headers and meaningless contents.

use std::collections::BTreeMap;

use bytes::Bytes;
use cobox_proto::block::BlockHeader;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::Offer;
use cobox_proto::id::{ActorId, Cid, EpochId, FolderId, HeadId, OpId, SigKey};
use cobox_proto::members::{
    Envelope, EnvelopeList, EpochParams, FolderKind, Genesis, HpkeKey, KeyPair, Log, Op, OpBody, Padding, Policy,
    Retention, Role, SignedOp, Signer, resolve,
};
use cobox_proto::replicate::{Kept, Replica};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::{LogPart, OpEnvelopes};

/// Person `n`'s device key; the member key is that of `n + 100`.
pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(crate) fn pair(n: u8) -> KeyPair {
    KeyPair { sig: key(n).public(), hpke: HpkeKey::from_slice(&[n; HpkeKey::LEN]).unwrap() }
}

/// A folder founded by person 1, who writes its ops.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) log: Log,
    pub(crate) envelopes: Vec<OpEnvelopes>,
    epoch: EpochId,
}

impl Folder {
    /// Each `nonce` makes another folder.
    pub(crate) fn new(nonce: u8) -> Self {
        Self::of_kind(FolderKind::Folder, nonce)
    }

    pub(crate) fn of_kind(kind: FolderKind, nonce: u8) -> Self {
        let (member, device) = (pair(101), pair(1));
        let (policy, shape) = (Policy::default(), [0; 32]);
        let genesis = Genesis { kind, nonce: [nonce; 32], member, device, shape, policy, founder_sig: None };
        let genesis = if kind == FolderKind::Vault { genesis.sign_founder(&key(101)) } else { genesis };
        let mut folder = Self { log: Log::new(genesis), envelopes: vec![], epoch: EpochId([nonce; 32]) };
        folder.start_epoch();
        folder
    }

    pub(crate) fn id(&self) -> FolderId {
        self.log.folder()
    }

    fn founder(&mut self, body: OpBody) -> OpId {
        let signer = Signer { grant: self.log.genesis().op_id(), key: key(1).public() };
        let (folder, deps) = (self.id(), self.log.frontier());
        let op = SignedOp::sign(Op { folder, signers: vec![signer], deps, body, sealed: vec![] }, &[&key(1)]).unwrap();
        let id = op.id();
        self.log.add(op).unwrap();
        assert_eq!(self.log.refusal(&id), None);
        id
    }

    fn start_epoch(&mut self) {
        let roster = resolve(&self.log);
        let envelope = |key_id| Envelope { recipient: key_id, bytes: vec![7; 1200] };
        let envelopes: Vec<Envelope> = roster.recipients_wanted().iter().map(|r| envelope(r.key_id)).collect();
        let list = EnvelopeList::of(&envelopes);
        let op = self.founder(OpBody::EpochBundle {
            parents: roster.epoch_tips(&self.log),
            id: self.epoch,
            params: EpochParams { block_ver: 1, suite: 1, codec: 0, padding: Padding::Padme },
            recipients: list.recipients(),
            envelopes: list.hash(),
            history: vec![],
        });
        self.envelopes.push(OpEnvelopes { op, list, envelopes });
    }

    pub(crate) fn grant(&mut self, n: u8) -> OpId {
        self.founder(OpBody::Grant { member: pair(n + 100), device: pair(n), role: Role::Editor })
    }

    pub(crate) fn remove(&mut self, n: u8) -> OpId {
        let grant = resolve(&self.log).device(&key(n).public()).unwrap().1.grant;
        self.founder(OpBody::Remove { grant, cut: vec![] })
    }

    pub(crate) fn invite(&mut self, n: u8, expires_ms: u64) -> OpId {
        let KeyPair { sig, hpke } = pair(n);
        self.founder(OpBody::Invite { sig, hpke, role: Role::Editor, max_uses: 1, expires_ms, grant: true })
    }

    /// Hires the seeder of an offer, for all it offers.
    pub(crate) fn hire(&mut self, offer: &Offer) -> OpId {
        self.hire_for(offer, offer.quota_bytes)
    }

    pub(crate) fn hire_for(&mut self, offer: &Offer, quota_bytes: u64) -> OpId {
        let retention = Retention { all_hours: 1, hourly_days: 0, daily_days: 0, monthly_months: 0 };
        self.hire_keeping(offer, quota_bytes, retention)
    }

    pub(crate) fn hire_keeping(&mut self, offer: &Offer, quota_bytes: u64, retention: Retention) -> OpId {
        let (seeder, offer_hash) = (offer.seeder, offer.grant_hash(&self.id()));
        self.founder(OpBody::SeederGrant { seeder, offer_hash, quota_bytes, retention, member_share: 100 })
    }

    pub(crate) fn end_seeder(&mut self, seeder: OpId) {
        self.founder(OpBody::SeederEnd { seeder });
    }

    /// Ops in the order in which they were written.
    pub(crate) fn ops(&self) -> Vec<SignedOp> {
        self.log.ops().cloned().collect()
    }

    /// The log as it is handed to a seeder, in two pieces.
    pub(crate) fn parts(&self) -> [LogPart; 2] {
        let ops: Vec<Vec<u8>> = self.log.ops().map(|op| op.bytes().to_vec()).collect();
        let (first, second) = ops.split_at(ops.len() / 2);
        let genesis = self.log.genesis().to_bytes();
        [
            LogPart { genesis, ops: first.to_vec(), last: false },
            LogPart { genesis: vec![], ops: second.to_vec(), last: true },
        ]
    }

    pub(crate) fn replica(&self) -> Replica {
        let kept = Kept { ops: self.ops(), envelopes: self.envelopes.clone(), ..Kept::default() };
        Replica::restore(self.log.genesis().clone(), kept)
    }

    /// Founder's next head on a tree, which announces its blocks.
    pub(crate) fn head(&self, prev: Option<&SignedHead>, tree: &Tree) -> SignedHead {
        let skip = prev.filter(|prev| (prev.head().seq + 1) & prev.head().seq != 0).map(SignedHead::id);
        self.head_skipping(prev, skip, tree)
    }

    /// The same at the end of a chain that is longer than five heads.
    pub(crate) fn head_after(&self, chain: &[SignedHead], tree: &Tree) -> SignedHead {
        let skip = (chain.len() + 1) & chain.len();
        self.head_skipping(chain.last(), chain.get(skip.wrapping_sub(1)).map(SignedHead::id), tree)
    }

    fn head_skipping(&self, prev: Option<&SignedHead>, skip: Option<HeadId>, tree: &Tree) -> SignedHead {
        let (folder, device) = (self.id(), key(1).public());
        let seq = prev.map_or(1, |prev| prev.head().seq + 1);
        let head = Head {
            folder,
            device,
            actor: ActorId::of(&folder, &device, &[1; 16]),
            actor_nonce: (seq == 1).then_some([1; 16]),
            seq,
            prev: prev.map(SignedHead::id),
            skip,
            root: tree.root,
            epoch: self.epoch.tag(),
            auth: self.log.frontier(),
            merged: Vec::<HeadId>::new(),
            new_blocks: tree.blocks.len() as u64,
            new_bytes: tree.bytes(),
            claimed_time_ms: 0,
            delta: None,
            sealed: vec![],
        };
        head.sign(&key(1)).unwrap()
    }

    /// Three levels: a root, three nodes, four chunks of `chunk_bytes` under each. Each `fill` makes others.
    pub(crate) fn tree(&self, fill: u8, chunk_bytes: usize) -> Tree {
        let mut blocks = BTreeMap::new();
        let mut put = |links: Vec<Cid>, body: Vec<u8>| {
            let mut links = links;
            links.sort();
            let mut bytes = BlockHeader { epoch: self.epoch.tag(), links }.to_bytes();
            bytes.extend(body);
            let cid = Cid::of(&bytes);
            blocks.insert(cid, Bytes::from(bytes));
            cid
        };
        let mut nodes = Vec::new();
        for node in 0..3 {
            let chunks =
                (0..4).map(|chunk| put(vec![], [vec![fill; chunk_bytes], vec![node, chunk]].concat())).collect();
            nodes.push(put(chunks, vec![fill; 100]));
        }
        let root = put(nodes.clone(), vec![fill; 100]);
        Tree { root, nodes, blocks }
    }
}

/// The blocks of one state.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) root: Cid,
    pub(crate) nodes: Vec<Cid>,
    pub(crate) blocks: BTreeMap<Cid, Bytes>,
}

impl Tree {
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.values().map(|block| block.len() as u64).sum()
    }

    /// A block without links.
    pub(crate) fn chunk(&self) -> Cid {
        *self.blocks.keys().find(|cid| **cid != self.root && !self.nodes.contains(cid)).unwrap()
    }
}

pub(crate) fn device_key(n: u8) -> SigKey {
    key(n).public()
}
