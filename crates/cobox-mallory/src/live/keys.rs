//! What Mallory has, by role: a member's keys out of her own home, or a seeder's with all that it was given. The programs they belonged to
//! are switched off.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use cobox_core::content::inline_digest;
use cobox_core::engine::HeadNote;
use cobox_core::keys::{DeviceSecret, FolderKeys};
use cobox_core::seal::SealedBlock;
use cobox_core::state::{Body, Commit, Content, State};
use cobox_core::tree::Tree;
use cobox_daemon::keystore::Keystore;
use cobox_proto::codec::Canonical;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::id::{ActorId, EpochTag, FolderId, OpId};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::Tip;
use cobox_store::{BlockStore, DiskStore, FolderStore};
use cobox_storm::Machine;

/// A member's keys.
pub(crate) struct Mallory {
    pub(crate) folder: FolderId,
    pub(crate) machine: [u8; 32],
    pub(crate) device: DeviceSecret,
    pub(crate) keys: FolderKeys,
    pub(crate) heads: Vec<SignedHead>,
    auth: Vec<OpId>,
    pub(crate) epoch: EpochTag,
    chains: u8,
}

/// A history of Mallory's: each has an actor of its own.
pub(crate) struct Hand {
    nonce: [u8; 16],
    pub(crate) actor: ActorId,
    pub(crate) state: State,
    pub(crate) last: Option<SignedHead>,
}

/// A head, and the blocks of its tree.
pub(crate) type Shown = (SignedHead, Vec<SealedBlock>);

fn array(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().context("a seed has 32 bytes")
}

impl Mallory {
    /// Out of the home of a member who is switched off. One folder there is her vault; the other has heads of somebody else.
    pub(crate) fn of(machine: &Machine) -> Result<Self> {
        let keystore = Keystore::open(&machine.home().join("keys"))?;
        let records = FolderStore::open(&machine.home().join("state/folders.db"))?;
        let secret = |name: &str| keystore.get(name)?.with_context(|| format!("no key {name}"));
        for name in keystore.list()?.into_iter().filter(|name| name.starts_with("folder-")) {
            let folder: FolderId = name.trim_start_matches("folder-").parse()?;
            let Ok(seed) = secret(&format!("device-{folder}")) else { continue };
            let device = DeviceSecret::from_seed(&array(&seed)?);
            let heads = records.heads(&folder)?;
            let heads: Vec<SignedHead> =
                heads.iter().map(|head| SignedHead::from_bytes(&head.bytes)).collect::<Result<_, _>>()?;
            let own = heads.iter().find(|head| head.head().device == device.sig.public()).cloned();
            let others = heads.iter().any(|head| head.head().device != device.sig.public());
            if let (Some(own), true) = (own, others) {
                return Ok(Self {
                    folder,
                    machine: array(&secret("endpoint")?)?,
                    keys: FolderKeys::from_storage(&secret(&name)?)?,
                    heads,
                    auth: own.head().auth.clone(),
                    epoch: own.head().epoch,
                    device,
                    chains: 0,
                });
            }
        }
        bail!("she is in no folder with somebody else")
    }

    /// A new history.
    pub(crate) fn hand(&mut self) -> Hand {
        self.chains += 1;
        let nonce = [self.chains; 16];
        let actor = ActorId::of(&self.folder, &self.device.sig.public(), &nonce);
        Hand { nonce, actor, state: State::new(), last: None }
    }

    /// The same history, from its beginning: what is signed in both is signed twice.
    pub(crate) fn hand_again(&self, hand: &Hand) -> Hand {
        Hand { nonce: hand.nonce, actor: hand.actor, state: State::new(), last: None }
    }

    pub(crate) fn text(&self, text: &[u8]) -> Body {
        Body {
            size: text.len() as u64,
            mtime_ns: 1,
            executable: false,
            plain_digest: inline_digest(&self.keys, text),
            content: Content::Inline(text.into()),
        }
    }

    /// The next head of this history.
    pub(crate) fn writes(&self, hand: &mut Hand, write: impl FnOnce(&mut Commit<'_>) -> Result<()>) -> Result<Shown> {
        let device = self.device.sig.public();
        let mut commit = Commit::new(&mut hand.state, hand.actor, device, self.keys.shape());
        write(&mut commit)?;
        let counter = commit.finish().context("something was written")?.0.counter;
        self.publishes(hand, counter, |payload| payload.to_vec(), |_| {})
    }

    /// The next head, over the state as it is; with each block's content spoilt, and the head changed.
    pub(crate) fn publishes(
        &self,
        hand: &mut Hand,
        counter: u64,
        spoil: impl Fn(&[u8]) -> Vec<u8>,
        change: impl FnOnce(&mut Head),
    ) -> Result<Shown> {
        let (tree, blocks) = Tree::build(&hand.state, &self.keys, self.epoch)?;
        let (root, blocks) = crate::pure::respoilt(&self.keys, tree.root(), &blocks, spoil)?;
        let seq = hand.last.as_ref().map_or(1, |last| last.head().seq + 1);
        ensure!(seq <= 2, "longer histories need skip pointers");
        let mut head = Head {
            folder: self.folder,
            device: self.device.sig.public(),
            actor: hand.actor,
            actor_nonce: (seq == 1).then_some(hand.nonce),
            seq,
            prev: hand.last.as_ref().map(SignedHead::id),
            skip: None,
            root,
            epoch: self.epoch,
            auth: self.auth.clone(),
            merged: vec![],
            new_blocks: blocks.len() as u64 + 4,
            new_bytes: 1 << 20,
            claimed_time_ms: 1,
            delta: None,
            sealed: vec![],
        };
        change(&mut head);
        let note = HeadNote { counter, vault: None }.to_bytes();
        head.sealed = self.keys.seal_note(&self.epoch, "head", &head.clear_bytes(), &note)?;
        let head = head.sign(&self.device.sig)?;
        hand.last = Some(head.clone());
        Ok((head, blocks))
    }
}

/// What a true seeder left on its disk.
pub(crate) struct Loot {
    pub(crate) machine: [u8; 32],
    pub(crate) seeder: SecretKey,
    pub(crate) ops: Vec<Vec<u8>>,
    pub(crate) heads: Vec<SignedHead>,
    pub(crate) blocks: DiskStore,
}

impl Loot {
    /// Takes what lies in the home of a seeder that is switched off.
    pub(crate) fn of(machine: &Machine, folder: FolderId) -> Result<Self> {
        let state = machine.home().join("state");
        let seed = |name: &str| array(&fs::read(machine.home().join("keys").join(name))?);
        let records = FolderStore::open(&state.join("folders.db"))?;
        let heads = records.heads(&folder)?;
        let mut heads: Vec<SignedHead> =
            heads.iter().map(|head| SignedHead::from_bytes(&head.bytes)).collect::<Result<_, _>>()?;
        heads.sort_by_key(|head| head.head().seq);
        Ok(Self {
            machine: seed("machine")?,
            seeder: SecretKey::from_seed(&seed("seeder")?),
            ops: records.ops(&folder)?.into_iter().map(|(_, bytes)| bytes).collect(),
            heads,
            blocks: DiskStore::open(&state.join(folder.to_string()))?,
        })
    }

    /// The newest head of each writer, among those up to a place in the list.
    pub(crate) fn tips(&self, heads: usize) -> Vec<Tip> {
        let mut tips: Vec<Tip> = Vec::new();
        for head in &self.heads[..heads.min(self.heads.len())] {
            tips.retain(|tip| tip.actor != head.head().actor);
            tips.push(tip(head));
        }
        tips
    }

    /// A block that it holds.
    pub(crate) fn block(&self, cid: &cobox_proto::id::Cid) -> Result<Option<Vec<u8>>> {
        Ok(self.blocks.get(cid)?)
    }
}

pub(crate) fn tip(head: &SignedHead) -> Tip {
    Tip { actor: head.head().actor, seq: head.head().seq, head: head.id() }
}
