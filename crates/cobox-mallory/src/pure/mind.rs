//! Alice's engine, without a disk: it is shown heads, given the blocks it asks for, and says which heads it refuses.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cobox_core::engine::{Engine, Event, Input, Output, Setup, Standing};
use cobox_core::seal::SealedBlock;
use cobox_proto::head::SignedHead;
use cobox_proto::id::{Cid, HeadId};

use crate::Verdict;
use crate::home::Home;

/// More turns than any honest folder of this size takes.
const TURNS_MAX: usize = 100_000;

pub(crate) struct Mind {
    pub(crate) engine: Engine,
    blocks: BTreeMap<Cid, Vec<u8>>,
    /// Heads refused, each with the reason.
    pub(crate) refused: Vec<(HeadId, String)>,
    pub(crate) joined: Vec<HeadId>,
    /// Blocks that were asked for and nobody has.
    pub(crate) missed: usize,
}

impl Mind {
    pub(crate) fn of_alice(home: &Home) -> Self {
        let setup = Setup {
            folder: home.id(),
            keys: home.keys.clone(),
            device: home.alice.device.sig.clone(),
            entropy: [7; 32],
            standing: Standing {
                auth: home.log.frontier(),
                epoch: Some(home.epoch),
                can_write: true,
                depths: BTreeMap::new(),
            },
        };
        let mut engine = Engine::empty(setup, home.epoch);
        engine.run_without_disk();
        Self { engine, blocks: BTreeMap::new(), refused: vec![], joined: vec![], missed: 0 }
    }

    pub(crate) fn may_ask_for(&mut self, blocks: Vec<SealedBlock>) {
        self.blocks.extend(blocks.into_iter().map(|block| (block.cid, block.bytes)));
    }

    /// Sees a head, and everything that comes of it.
    pub(crate) fn sees(&mut self, head: &SignedHead) -> Result<()> {
        let mut inputs = vec![Input::Head(Box::new(head.clone()))];
        for _ in 0..TURNS_MAX {
            let Some(input) = inputs.pop() else { return Ok(()) };
            self.engine.handle(0, input);
            while let Some(output) = self.engine.poll_output() {
                match output {
                    Output::Want(cids) => {
                        for cid in cids {
                            match self.blocks.get(&cid) {
                                Some(bytes) => inputs.push(Input::Block { cid, bytes: bytes.clone() }),
                                None => self.missed += 1,
                            }
                        }
                    }
                    Output::Tell(Event::BadHead { head, why }) => self.refused.push((head, why)),
                    Output::Tell(Event::Joined { head }) => self.joined.push(head),
                    _ => {}
                }
            }
        }
        anyhow::bail!("o7: it has no end")
    }

    /// What came of a head: refused by name, for this reason; or joined.
    pub(crate) fn judged(&self, head: &SignedHead, reason: &str) -> Result<Verdict> {
        if let Some((_, why)) = self.refused.iter().find(|(id, _)| *id == head.id()) {
            ensure!(why.contains(reason), "refused, but because {why}");
            ensure!(!self.joined.contains(&head.id()), "refused and joined");
            return Ok(Verdict::Named);
        }
        Ok(if self.joined.contains(&head.id()) { Verdict::Contained } else { Verdict::Ignored })
    }
}
