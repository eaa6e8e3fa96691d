//! Trees that a malicious member could write: each is refused, and for its own reason. The bytes are written by hand
//! here, straight from the drawings in the format, so they also hold the encoder to it.

use cobox_core::seal::BlockKind;
use cobox_core::state::State;
use cobox_core::tree::{Fetch, Remote, Tree, TreeError, TreeKeys};
use cobox_proto::codec::Writer;
use cobox_proto::id::{ActorId, Cid, EpochTag, Inode, SigKey};

use super::{Blocks, Folder, GlassKeys, JUNE, MAY, applied};

const ALICE: ActorId = ActorId([1; 16]);
const DEVICE: SigKey = SigKey([9; 32]);

/// A leaf before it is sealed.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) actors: Vec<ActorId>,
    pub(crate) epochs: Vec<EpochTag>,
    pub(crate) links: Vec<Cid>,
    pub(crate) records: Vec<Vec<u8>>,
}

impl Leaf {
    pub(crate) fn new(records: Vec<Vec<u8>>) -> Self {
        Self { actors: vec![ALICE], epochs: vec![], links: vec![], records }
    }
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.list(&self.actors).list(&self.epochs).fixed(&self.records.concat());
        w.into_bytes()
    }
}

/// The parts of a file's record, each as the bytes it is written with.
pub(crate) struct FileRecord {
    pub(crate) inode: u8,
    pub(crate) kind: u8,
    pub(crate) loc_flags: u8,
    pub(crate) vd: Vec<u8>,
    pub(crate) name: &'static str,
    pub(crate) body_flags: u8,
    pub(crate) body_dot: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

impl Default for FileRecord {
    fn default() -> Self {
        let content = vec![2, b'h', b'i'];
        Self { inode: 7, kind: 1, loc_flags: 0, vd: vec![], name: "note", body_flags: 0, body_dot: vec![], content }
    }
}

impl FileRecord {
    fn bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.fixed(&[self.inode; 16]).u8(self.kind);
        w.u8(1).fixed(&[0, 5]).u8(self.loc_flags).fixed(&self.vd).fixed(&[0; 16]).text(self.name);
        w.u8(1).u8(self.body_flags).fixed(&self.body_dot).i64(1_000).fixed(&self.content);
        w.into_bytes()
    }
    pub(crate) fn leaf(&self) -> Leaf {
        Leaf::new(vec![self.bytes()])
    }
}

pub(crate) fn record(inode: u8) -> Vec<u8> {
    FileRecord { inode, ..FileRecord::default() }.bytes()
}

/// Content of one or more chunks that all stand behind the first link.
pub(crate) fn refs(count: u8, link: u8, kind: u8) -> Vec<u8> {
    let one = [kind, link, 100, 0];
    [&[4; 32][..], &[count], &one.repeat(count.into())].concat()
}

pub(crate) fn refs_leaf(content: Vec<u8>) -> Leaf {
    let leaf = FileRecord { body_flags: 1 << 2, content, ..FileRecord::default() }.leaf();
    Leaf { epochs: vec![MAY], links: vec![Cid([3; 32])], ..leaf }
}

/// A tree under construction, its blocks as they will be handed to a reader.
#[derive(Default)]
pub(crate) struct Forge {
    blocks: Blocks,
}

impl Forge {
    pub(crate) fn seal(&mut self, epoch: EpochTag, kind: BlockKind, links: &[Cid], payload: &[u8]) -> Cid {
        let block = GlassKeys::default().seal(epoch, kind, links, payload).unwrap();
        let cid = block.cid;
        self.blocks.keep(vec![block]);
        cid
    }
    fn leaf(&mut self, leaf: &Leaf) -> Cid {
        self.seal(MAY, BlockKind::Node, &leaf.links, &leaf.payload())
    }
    /// An inner node over children `(last inode, cid, count)` at the folder's root.
    fn inner(&mut self, children: &[(u8, Cid, u64)]) -> Cid {
        let mut links: Vec<Cid> = children.iter().map(|child| child.1).collect();
        links.sort();
        links.dedup();
        let mut w = Writer::new();
        for (last, cid, count) in children {
            let link = links.iter().position(|link| link == cid).unwrap();
            w.fixed(&[0; 16]).fixed(&[*last; 16]).varint(link as u64).varint(*count);
        }
        self.seal(MAY, BlockKind::Node, &links, w.as_slice())
    }
    /// A root whose context covers Alice up to `counter`.
    pub(crate) fn root(&mut self, counter: u64, items: u64, level: u8, top: Cid) -> Cid {
        let mut w = Writer::new();
        w.u8(1).u8(0).list(&[DEVICE]).u8(1).put(&ALICE).u8(0).varint(counter);
        w.u8(0).varint(items).u8(level).u8(0);
        self.seal(MAY, BlockKind::Root, &[top], w.as_slice())
    }
    pub(crate) fn read(&self, root: Cid) -> Result<Remote, TreeError> {
        self.blocks.fetch(root, None, &State::new())
    }
}

/// What a reader says of a tree of this one leaf.
fn read_leaf(leaf: &Leaf) -> Result<Remote, TreeError> {
    let mut forge = Forge::default();
    let top = forge.leaf(leaf);
    let root = forge.root(5, leaf.records.len() as u64, 0, top);
    forge.read(root)
}

#[track_caller]
pub(crate) fn refused(result: Result<Remote, TreeError>, reason: &str) {
    let error = result.expect_err("it was accepted");
    let mut said = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        said = format!("{said}: {source}");
    }
    assert!(said.contains(reason), "refused, but because: {said}");
}

#[test]
fn a_tree_written_by_hand_is_the_tree_of_its_state() {
    let leaves = [
        FileRecord::default().leaf(),
        Leaf::new(vec![record(1), record(2), record(3)]),
        refs_leaf(refs(64, 0, 0)),
        FileRecord { loc_flags: 1, vd: vec![0, 4], ..FileRecord::default() }.leaf(),
        FileRecord { body_flags: 1 | 2, body_dot: vec![0, 3], kind: 2, ..FileRecord::default() }.leaf(),
    ];
    for leaf in leaves {
        let read = read_leaf(&leaf).unwrap();
        let state = applied(&read, &State::new());
        assert_eq!(state.len(), leaf.records.len());
        assert_eq!(Tree::build(&state, &GlassKeys::default(), MAY).unwrap().0, read.tree);
    }
}

#[test]
fn records_out_of_order_are_refused() {
    refused(read_leaf(&Leaf::new(vec![record(2), record(1)])), "not sorted by key");
    refused(read_leaf(&Leaf::new(vec![record(2), record(2)])), "not sorted by key");
}

#[test]
fn a_table_row_that_nothing_uses_is_refused() {
    let plain = FileRecord::default().leaf();
    refused(read_leaf(&Leaf { actors: vec![ALICE, ActorId([2; 16])], ..plain.clone() }), "canonical");
    refused(read_leaf(&Leaf { epochs: vec![MAY], ..plain.clone() }), "canonical");
    refused(read_leaf(&Leaf { links: vec![Cid([3; 32])], ..plain.clone() }), "canonical");
    refused(read_leaf(&Leaf { actors: vec![ActorId([2; 16]), ALICE], ..plain }), "actor table");
}

#[test]
fn an_index_outside_its_table_is_refused() {
    refused(read_leaf(&refs_leaf(refs(1, 1, 0))), "link: 1");
    refused(read_leaf(&Leaf { epochs: vec![], ..refs_leaf(refs(1, 0, 0)) }), "epoch: 0");
    refused(read_leaf(&Leaf { actors: vec![], ..FileRecord::default().leaf() }), "actor: 0");
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut leaf = FileRecord::default().leaf();
    leaf.records[0].push(0);
    refused(read_leaf(&leaf), "too early");
    let mut forge = Forge::default();
    let top = forge.leaf(&FileRecord::default().leaf());
    let root = forge.root(5, 1, 0, top);
    let honest = GlassKeys::default().open(&forge.blocks.0[&root]).unwrap();
    let longer = forge.seal(MAY, BlockKind::Root, &[top], &[honest.payload, vec![0]].concat());
    refused(forge.read(longer), "1 bytes too many");
}

#[test]
fn a_second_spelling_is_refused() {
    let spelled_vd = FileRecord { loc_flags: 1, vd: vec![0, 5], ..FileRecord::default() };
    refused(read_leaf(&spelled_vd.leaf()), "canonical");
    let spelled_dot = FileRecord { body_flags: 1, body_dot: vec![0, 5], ..FileRecord::default() };
    refused(read_leaf(&spelled_dot.leaf()), "canonical");
    let long_varint = FileRecord { content: vec![0x82, 0, b'h', b'i'], ..FileRecord::default() };
    refused(read_leaf(&long_varint.leaf()), "canonical");
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    refused(read_leaf(&refs_leaf(refs(1, 0, 1))), "chunk reference kind: 1");
    refused(read_leaf(&FileRecord { kind: 3, ..FileRecord::default() }.leaf()), "item kind: 3");
    refused(read_leaf(&FileRecord { loc_flags: 4, ..FileRecord::default() }.leaf()), "place flags: 4");
    refused(read_leaf(&FileRecord { body_flags: 16, ..FileRecord::default() }.leaf()), "version flags: 16");
    refused(read_leaf(&FileRecord { body_flags: 3 << 2, ..FileRecord::default() }.leaf()), "content kind: 3");
    let mut forge = Forge::default();
    let root = forge.seal(MAY, BlockKind::Root, &[], &[2, 0, 0, 0, 0, 0]);
    refused(forge.read(root), "version 2");
}

#[test]
fn contents_beyond_their_bounds_are_refused() {
    let inline = |n: usize| [Writer::new().varint(n as u64).as_slice(), &vec![0; n]].concat();
    read_leaf(&FileRecord { content: inline(512), ..FileRecord::default() }.leaf()).unwrap();
    refused(read_leaf(&FileRecord { content: inline(513), ..FileRecord::default() }.leaf()), "inline content: 513");
    refused(read_leaf(&refs_leaf(refs(65, 0, 0))), "chunks of a record: 65");
    refused(read_leaf(&refs_leaf(refs(0, 0, 0))), "1 to 64 chunks");
    let manifest = |refs: u8| [&[4; 32][..], &[0, 99, refs, 0], &[5; 32]].concat();
    let listed = |refs| Leaf {
        records: vec![FileRecord { body_flags: 2 << 2, content: manifest(refs), ..FileRecord::default() }.bytes()],
        ..refs_leaf(vec![])
    };
    read_leaf(&listed(65)).unwrap();
    refused(read_leaf(&listed(64)), "short list");
    refused(read_leaf(&listed(100)), "more chunks than it has bytes");
    refused(read_leaf(&FileRecord { kind: 0, ..FileRecord::default() }.leaf()), "directory has no content");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["..", ".", "", "a/b", "a\0b"] {
        refused(read_leaf(&FileRecord { name, ..FileRecord::default() }.leaf()), "name");
    }
}

#[test]
fn a_dot_above_the_context_is_refused() {
    refused(
        read_leaf(&Leaf { actors: vec![ActorId([2; 16])], ..FileRecord::default().leaf() }),
        "context does not cover",
    );
    let vd = FileRecord { loc_flags: 1, vd: vec![0, 6], ..FileRecord::default() };
    refused(read_leaf(&vd.leaf()), "context does not cover");
    let body = FileRecord { body_flags: 1, body_dot: vec![0, 6], ..FileRecord::default() };
    refused(read_leaf(&body.leaf()), "context does not cover");
}

#[test]
fn a_dot_above_the_context_is_refused_in_a_leaf_the_base_shares() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(21, 2_000);
    let (base, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let mut store = Blocks::of(blocks);
    let before = folder.state.clone();
    let (actor, mut row) = folder.state.ctx.iter().next().map(|(actor, row)| (*actor, *row)).unwrap();
    row.counter = 1;
    folder.state.ctx.set(actor, Some(row));
    let (lower, new) = folder.update(&base, MAY);
    store.keep(new);
    refused(store.fetch(lower.root(), Some(&base), &before), "context does not cover");
}

#[test]
fn cuts_in_other_places_are_refused() {
    let mut forge = Forge::default();
    let (one, two) = (forge.leaf(&Leaf::new(vec![record(1)])), forge.leaf(&Leaf::new(vec![record(2)])));
    let top = forge.inner(&[(1, one, 1), (2, two, 1)]);
    let root = forge.root(5, 2, 1, top);
    refused(forge.read(root), "not the tree of the state");

    let mut uncut = Folder::with_items(22, 1_000);
    uncut.state.ctx.raise(ALICE, DEVICE, 5);
    let keys = GlassKeys { uncut: true, ..GlassKeys::default() };
    let (tree, blocks) = Tree::build(&uncut.state, &keys, MAY).unwrap();
    refused(Blocks::of(blocks).fetch(tree.root(), None, &State::new()), "not the tree of the state");
}

#[test]
fn levels_too_many_are_refused() {
    let mut forge = Forge::default();
    let mut top = forge.leaf(&Leaf::new(vec![record(1)]));
    for level in 0..=9 {
        let root = forge.root(5, 1, level, top);
        match level {
            0 => drop(forge.read(root).unwrap()),
            1..8 => refused(forge.read(root), "not the tree of the state"),
            _ => refused(forge.read(root), "tree level"),
        }
        top = forge.inner(&[(1, top, 1)]);
    }
}

#[test]
fn parents_that_say_other_than_their_children_are_refused() {
    let mut forge = Forge::default();
    let one = forge.leaf(&Leaf::new(vec![record(1), record(2)]));
    let two = forge.leaf(&Leaf::new(vec![record(3)]));
    let mut tree = |children: &[(u8, Cid, u64)], items| {
        let top = forge.inner(children);
        let root = forge.root(5, items, 1, top);
        forge.read(root)
    };
    refused(tree(&[(2, one, 2), (3, two, 1)], 4), "as many records");
    refused(tree(&[(2, one, 1), (3, two, 2)], 3), "as many records");
    refused(tree(&[(1, one, 2), (3, two, 1)], 3), "its keys are not those");
    refused(tree(&[(2, one, 2), (4, two, 1)], 3), "its keys are not those");
    refused(tree(&[(3, two, 1), (2, one, 2)], 3), "not sorted by key");
    refused(tree(&[(2, one, 2), (3, one, 2)], 4), "stands in it twice");
    refused(tree(&[], 3), "it is empty");
    refused(tree(&[(2, one, 2), (3, two, 1)], 0), "bytes too many");
}

#[test]
fn an_item_in_two_places_is_refused() {
    let mut forge = Forge::default();
    let mut elsewhere = record(1);
    elsewhere[16 + 2 + 2 + 1..][..16].fill(0xaa);
    let (here, there) = (forge.leaf(&Leaf::new(vec![record(1)])), forge.leaf(&Leaf::new(vec![elsewhere.clone()])));
    let mut links = [here, there];
    links.sort();
    let mut w = Writer::new();
    for (parent, cid) in [(0, here), (0xaa, there)] {
        let link = links.iter().position(|link| *link == cid).unwrap();
        w.fixed(&[parent; 16]).fixed(&[1; 16]).varint(link as u64).varint(1);
    }
    let top = forge.seal(MAY, BlockKind::Node, &links, w.as_slice());
    let root = forge.root(5, 2, 1, top);
    refused(forge.read(root), "an item stands in the tree twice");
    refused(read_leaf(&Leaf::new(vec![record(1), elsewhere])), "an item stands in the tree twice");
}

#[test]
fn an_item_twice_in_a_leaf_the_base_shares_is_refused() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(23, 3_000);
    let before = folder.state.clone();
    let (base, blocks) = Tree::build(&before, &keys, MAY).unwrap();
    let mut store = Blocks::of(blocks);
    let (key, mut item) = folder.state.iter().next().map(|(key, item)| (key, item.clone())).unwrap();
    item.loc[0].1.parent = Inode([0xff; 16]);
    // The forger writes the item at its second place with the first still standing.
    let mut forged = folder.state.clone();
    forged.remove(&key.inode);
    forged.insert(key.inode, item.clone());
    let mut touched = cobox_core::state::Touched::default();
    touched.note(key.inode, None);
    let (tree, new) = base.update(&forged, &touched, &keys, MAY).unwrap();
    store.keep(new);
    assert_eq!(tree.len(), 3_001, "the forgery holds the item twice");
    refused(store.fetch(tree.root(), Some(&base), &before), "not the tree of the state");
    folder.put(key.inode, item);
    let (honest, new) = folder.update(&base, MAY);
    store.keep(new);
    store.fetch(honest.root(), Some(&base), &before).unwrap();
}

#[test]
fn blocks_of_another_kind_or_epoch_are_refused() {
    let mut forge = Forge::default();
    let payload = FileRecord::default().leaf().payload();
    let wrong_kind = forge.seal(MAY, BlockKind::Ctx, &[], &payload);
    let root = forge.root(5, 1, 0, wrong_kind);
    refused(forge.read(root), "another kind");
    let wrong_epoch = forge.seal(JUNE, BlockKind::Node, &[], &payload);
    let root = forge.root(5, 1, 0, wrong_epoch);
    refused(forge.read(root), "another epoch");
    refused(forge.read(wrong_kind), "another kind");
}

#[test]
fn a_context_that_is_not_written_as_it_must_be_is_refused() {
    let mut forge = Forge::default();
    let mut rows = Writer::new();
    rows.list(&[DEVICE]).u8(1).put(&ALICE).u8(0).u8(5);
    let small = forge.seal(MAY, BlockKind::Ctx, &[], rows.as_slice());
    let root = forge.seal(MAY, BlockKind::Root, &[small], &[1, 1, 0, 0, 0]);
    refused(forge.read(root), "not the tree of the state");

    let mut many = Writer::new();
    many.u8(1).u8(0).list(&[DEVICE]).u8(65);
    for n in 0..65 {
        many.put(&ActorId([n; 16])).u8(0).u8(5);
    }
    many.u8(0).u8(0);
    let root = forge.seal(MAY, BlockKind::Root, &[], many.as_slice());
    refused(forge.read(root), "context rows: 65");

    let root = forge.seal(MAY, BlockKind::Root, &[small], &[1, 9, 0, 0, 0]);
    refused(forge.read(root), "context levels");
    let cycle = forge.seal(MAY, BlockKind::Ctx, &[small], &[[0; 16].as_slice(), &[0, 1], &[1; 16], &[0, 1]].concat());
    let root = forge.seal(MAY, BlockKind::Root, &[cycle], &[1, 2, 0, 0, 0]);
    refused(forge.read(root), "stands in it twice");
}

#[test]
fn i3_damage_in_any_byte_of_any_node_is_never_taken_for_the_state() {
    let keys = GlassKeys::default();
    let folder = Folder::with_items(24, 12);
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let [leaf, root] = &blocks[..] else { panic!("one leaf and the root") };
    let (leaf, root_block) = (keys.open(&leaf.bytes).unwrap(), keys.open(&root.bytes).unwrap());
    for at in 0..leaf.payload.len() {
        let mut payload = leaf.payload.clone();
        payload[at] ^= 1 << (at % 8);
        let mut forge = Forge::default();
        let top = forge.seal(MAY, BlockKind::Node, &leaf.links, &payload);
        let root = forge.seal(MAY, BlockKind::Root, &[top], &root_block.payload);
        // A flipped bit may spell another valid state, but never this one, and never without its own exact tree.
        if let Ok(read) = forge.read(root) {
            assert_ne!(read.tree.root(), tree.root());
            assert_ne!(applied(&read, &State::new()), folder.state, "byte {at}");
        }
    }
    for end in 0..leaf.payload.len() {
        let mut forge = Forge::default();
        let top = forge.seal(MAY, BlockKind::Node, &leaf.links, &leaf.payload[..end]);
        let root = forge.seal(MAY, BlockKind::Root, &[top], &root_block.payload);
        let mut fetch = Fetch::new(root, None);
        fetch.supply(root, &forge.blocks.0[&root], &keys).unwrap();
        fetch.supply(top, &forge.blocks.0[&top], &keys).expect_err("a leaf cut short");
    }
}
