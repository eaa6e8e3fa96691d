//! Worlds in which people are in a hurry: they touch files and delete what the program has just brought there from others, and move what
//! they have just written while the watcher tells of one half of the move first. Nothing else goes wrong, so two promises can be judged
//! to the point that elsewhere much excuses: a deletion takes along only what stood there when the disk was last looked at, and a move in
//! which nobody else had a hand is no copy, so that the file's history goes on.

use cobox_core::engine::Stamp;
use cobox_core::path::{FolderPath, Name};
use cobox_proto::id::Inode;

use crate::disk::Node;
use crate::ledger::Ledger;
use crate::member::Member;
use crate::people;
use crate::world::World;

/// Files with this in their names have names that nobody else ever uses.
const OWN: &str = "own ";

/// Somebody moved a file that was known to their program, within its directory, to a name that nobody else ever uses.
#[derive(Debug)]
pub(crate) struct Move {
    from: FolderPath,
    to: FolderPath,
    content: [u8; 32],
    /// What was done with the content until then, this move included.
    deeds: u64,
    inode: Inode,
    /// A look has gone to the new place since.
    is_seen: bool,
}

impl World<'_> {
    /// Somebody does something in a hurry; what it was, if anything.
    pub(crate) fn hurry(&mut self, member: usize) -> Option<String> {
        let now_ms = self.now_ms;
        let Self { dice, members, ledger, .. } = self;
        let here = &mut members[member];
        match dice.below(8) {
            0 | 1 => {
                let name = own_name(ledger, here.name);
                Some(people::write_new(dice, &mut here.durable.disk, ledger, (here.name, now_ms), &name))
            }
            2..=4 => {
                let own = here.files(|path, _| path.name().is_some_and(|name| name.as_str().starts_with(OWN)));
                let from = dice.pick(&own)?;
                let to = from.parent()?.join(&own_name(ledger, here.name));
                here.move_own(ledger, from, &to);
                if dice.one_in(2) {
                    here.look_at(vec![to.clone()]);
                }
                Some(format!("renames {from} -> {to}"))
            }
            5 | 6 => {
                let brought = here.just_adopted();
                let path = dice.pick(&brought)?;
                here.durable.disk.erase(path);
                Some(format!("deletes {path}, which was brought just now"))
            }
            _ => {
                let files = here.files(|_, node| matches!(node, Node::File { .. }));
                let path = dice.pick(&files)?;
                ledger.handle(&here.durable.disk, path, here.name);
                ledger.writes_to(path, here.name);
                here.durable.disk.touch(path, now_ms as i64 * 1_000_000, dice.one_in(2));
                here.look_at(vec![path.clone()]);
                Some(format!("touches {path}"))
            }
        }
    }

    /// A move in which nobody else had a hand is the same file to everybody.
    pub(crate) fn moves_are_no_copies(&mut self) -> Result<(), String> {
        let moved: Vec<(char, Move)> =
            self.members.iter_mut().flat_map(|m| m.witness.moves.drain(..).map(|moved| (m.name, moved))).collect();
        let Some(live) = &self.members[0].live else { return Ok(()) };
        for (who, Move { from, to, content, deeds, inode, .. }) in moved {
            // Who moves one of several versions of a file parts it from those of others, which stay that file's.
            let has_others = live.engine.state().get(&inode).is_some_and(|item| !item.body.is_empty());
            let is_shared = has_others || self.ledger.others_wrote_to(&from, &content, who);
            if is_shared || !self.ledger.is_all_that_was_done(&content, who, deeds) {
                continue;
            }
            let disk = &self.members[0].durable.disk.tree;
            let mut stands = disk.iter().filter(|(_, node)| node.content().is_some_and(|c| c.hash == content));
            if stands.any(|(path, _)| live.engine.leaf_at(path).is_some_and(|(now, ..)| now != inode)) {
                return Err(format!("O1: {who} moved {from} to {to}, and it is another file there: its history ends"));
            }
        }
        Ok(())
    }
}

/// A name that nobody has used or will use.
fn own_name(ledger: &mut Ledger, who: char) -> Name {
    ledger.names += 1;
    Name::new(&format!("{OWN}{who}{}", ledger.names)).expect("the names here are good")
}

impl Member<'_> {
    fn files(&self, wanted: impl Fn(&FolderPath, &Node) -> bool) -> Vec<FolderPath> {
        let files = self.durable.disk.tree.iter().filter(|(_, node)| node.content().is_some());
        files.filter(|(path, node)| wanted(path, node)).map(|(path, _)| path.clone()).collect()
    }

    /// What stands on the disk as the program knows it.
    fn known(&self, path: &FolderPath) -> Option<Inode> {
        let stamp: Option<Stamp> = self.durable.disk.tree.get(path)?.stamp();
        self.live.as_ref()?.engine.synced().get(path).filter(|known| known.stamp == stamp).map(|known| known.inode)
    }

    /// Files behind which the program has put what others did with equal bytes, and at which nobody has looked since.
    pub(crate) fn just_adopted(&self) -> Vec<FolderPath> {
        let looks = self.live.as_ref().is_none_or(|live| live.scan.is_some());
        let adopted = self.witness.adopted.iter().filter(|path| !looks && self.known(path).is_some());
        adopted.cloned().collect()
    }

    /// The person moves a file to where nothing is.
    fn move_own(&mut self, ledger: &mut Ledger, from: &FolderPath, to: &FolderPath) {
        ledger.handle(&self.durable.disk, from, self.name);
        let content = self.durable.disk.tree.get(from).and_then(Node::content).map(|content| content.hash);
        // A look under way may have passed the one place and not the other.
        let live = self.live.as_ref().filter(|live| live.scan.is_none());
        let item = self.known(from).and_then(|inode| Some((inode, live?.engine.state().get(&inode)?.body.len())));
        if let (Some(content), Some((inode, 1))) = (content, item) {
            let deeds = ledger.deeds(&content);
            let (from, to) = (from.clone(), to.clone());
            self.witness.moves.push(Move { from, to, content, deeds, inode, is_seen: false });
        }
        self.durable.disk.rename(from, to);
        ledger.moved_to(&self.durable.disk, to, self.name);
    }

    /// A look begins. Whoever looks at the place that was left, and not at the other, has to take it for deleted.
    pub(crate) fn note_look(&mut self, goes_to: impl Fn(&FolderPath) -> bool) {
        for moved in &mut self.witness.moves {
            moved.is_seen |= goes_to(&moved.to);
        }
        self.witness.moves.retain(|moved| moved.is_seen || !goes_to(&moved.from));
    }
}
