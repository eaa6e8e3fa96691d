//! What daily work costs, counted: a folder of some thousand files must not make one saved file dear. Counts, not times, so that they are
//! the same on every machine.

use super::*;

const DIRS: u64 = 20;
const FILES_PER_DIR: u64 = 100;

/// What an engine asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    files_read: usize,
    groups_stored: usize,
    rows_remembered: usize,
    deltas: usize,
    heads: usize,
    blocks_wanted: usize,
    places_planned: usize,
    steps: usize,
    looks: usize,
}

/// Answers what an engine asks of its disk and its store at once, as if every file held its own name and time.
struct Desk {
    folder: Folder,
    asked: Asked,
    blocks_stored: usize,
    said: Vec<Output>,
}

impl Desk {
    /// Alice's, who has all files, published.
    fn full() -> Self {
        let mut desk = Self { folder: Folder::new(), asked: Asked::default(), blocks_stored: 0, said: Vec::new() };
        let mut listed = Vec::new();
        for dir in 0..DIRS {
            listed.push((at(&format!("dir {dir}")), Stat::Dir(FileId { dev: 1, ino: 1_000_000 + dir })));
            let files = (0..FILES_PER_DIR).map(|n| (at(&format!("dir {dir}/file {n}")), file(dir * FILES_PER_DIR + n)));
            listed.extend(files);
        }
        desk.looks(Vec::new(), listed);
        desk
    }

    fn tell(&mut self, input: Input) {
        self.folder.alice.handle(2_000, input);
        self.carry_out();
    }

    fn looks(&mut self, under: Vec<FolderPath>, listed: Vec<(FolderPath, Stat)>) {
        self.tell(Input::ScanBegun { under });
        self.tell(Input::Listed(listed));
        self.tell(Input::ScanEnded { unreadable: Vec::new() });
    }

    /// How many places the plan that comes next looks at.
    fn places_to_plan(&self) -> usize {
        let alice = &self.folder.alice;
        match &alice.at_rest {
            _ if !alice.plan_due || !alice.out.is_empty() => 0,
            AtRest::But(changed) => changed.len(),
            _ => alice.view.entries.len(),
        }
    }

    fn carry_out(&mut self) {
        loop {
            self.asked.places_planned += self.places_to_plan();
            let Some(output) = self.folder.alice.poll_output() else { return };
            match &output {
                Output::Hash(files) => {
                    self.asked.files_read += files.len();
                    for (path, stamp) in files.clone() {
                        let text = format!("{path} as of {}", stamp.mtime_ns);
                        let body = Box::new(body(&self.folder.keys, text.as_bytes()));
                        self.folder.alice.handle(2_000, Input::Hashed { path, stamp, body });
                    }
                }
                Output::Store(blocks) => {
                    self.asked.groups_stored += 1;
                    self.blocks_stored += blocks.len();
                }
                Output::Remember(memory) => self.asked.rows_remembered += memory.synced.len(),
                Output::SendDelta(_) => self.asked.deltas += 1,
                Output::Publish(_) => self.asked.heads += 1,
                Output::Want(cids) => self.asked.blocks_wanted += cids.len(),
                Output::Do(steps) => self.asked.steps += steps.len(),
                Output::Rescan(_) => self.asked.looks += 1,
                _ => {}
            }
            self.said.push(output);
        }
    }

    /// A head of another member who wrote one file, and the nodes of its tree.
    fn another_writes_a_file(&self) -> (SignedHead, Vec<SealedBlock>) {
        let mut other = Mallory::new(&self.folder);
        other.state = self.folder.alice.state().clone();
        let mut commit = Commit::new(&mut other.state, other.actor, other.key.public(), self.folder.keys.shape());
        commit.create(Inode::ZERO, &"theirs".parse().unwrap(), Kind::File, body(&self.folder.keys, b"theirs"));
        commit.finish();
        let (root, blocks) = other.seals(&self.folder);
        (other.publishes(&self.folder, root, other.counter()), blocks)
    }

    fn hears(&mut self, head: SignedHead, blocks: &[SealedBlock]) {
        self.folder.alice.handle(2_000, Input::Head(Box::new(head)));
        for block in blocks.iter().rev().chain(blocks) {
            self.folder.alice.handle(2_000, Input::Block { cid: block.cid, bytes: block.bytes.clone() });
        }
    }

    /// What was asked for since the last time, and the outputs themselves.
    fn count(&mut self) -> (Asked, usize, Vec<Output>) {
        let said = std::mem::take(&mut self.said);
        (std::mem::take(&mut self.asked), std::mem::take(&mut self.blocks_stored), said)
    }
}

/// Nodes on the way from one leaf to the root, the root, and what is split or joined beside it.
const PATH_BLOCKS_MAX: usize = 6;

#[test]
fn one_saved_file_of_thousands_costs_one_file_read_one_place_planned_one_row_one_head_and_the_nodes_above_it() {
    let mut desk = Desk::full();
    let (first, ..) = desk.count();
    assert_eq!((first.files_read as u64, first.heads), (DIRS * FILES_PER_DIR, 1));
    assert_eq!(first.steps, 0);
    assert_eq!(first.rows_remembered as u64, DIRS * (FILES_PER_DIR + 1));

    let saved = at("dir 7/file 7");
    let stamp = Stamp { size: 2, mtime_ns: 9, ctime_ns: 9, id: FileId { dev: 1, ino: 5_000_000 }, executable: false };
    let dir = (at("dir 7"), Stat::Dir(FileId { dev: 1, ino: 1_000_007 }));
    desk.looks(vec![saved.clone()], vec![dir, (saved.clone(), Stat::File(stamp))]);
    let (asked, blocks, _) = desk.count();
    let once = Asked {
        files_read: 1,
        groups_stored: 1,
        rows_remembered: 1,
        deltas: 1,
        heads: 1,
        places_planned: 1,
        ..Asked::default()
    };
    assert_eq!(asked, once);
    assert!(blocks <= PATH_BLOCKS_MAX, "{blocks} blocks");

    // A look that finds nothing new asks for nothing at all.
    desk.looks(vec![saved.clone()], vec![(saved, Stat::File(stamp))]);
    assert_eq!(desk.count().0, Asked::default());
}

#[test]
fn what_goes_to_others_is_handed_out_before_anything_is_planned_here() {
    let mut desk = Desk::full();
    // Another member's file is to be written here, and a file is saved in the same moment.
    desk.count();
    let (head, blocks) = desk.another_writes_a_file();
    let saved = at("mine");
    let engine = &mut desk.folder.alice;
    engine.handle(2_000, Input::ScanBegun { under: vec![saved.clone()] });
    engine.handle(2_000, Input::Listed(vec![(saved, file(9_000_000))]));
    desk.carry_out();
    desk.hears(head, &blocks);
    desk.tell(Input::ScanEnded { unreadable: Vec::new() });
    let (_, _, said) = desk.count();
    let published = said.iter().position(|output| matches!(output, Output::Publish(_))).expect("a head");
    let planned = said.iter().position(|output| matches!(output, Output::Do(_))).expect("a step");
    assert!(published < planned, "{published} {planned}");
}

#[test]
fn a_file_of_another_among_thousands_is_planned_by_itself_before_and_after_it_is_written() {
    let mut desk = Desk::full();
    desk.count();
    let (head, blocks) = desk.another_writes_a_file();
    desk.hears(head, &blocks);
    desk.carry_out();
    let (asked, _, said) = desk.count();
    assert_eq!((asked.steps, asked.places_planned), (1, 1));
    let written = said.iter().find_map(|output| match output {
        Output::Do(steps) => steps.first().map(|(id, _)| *id),
        _ => None,
    });
    desk.tell(Input::StepDone { id: written.expect("a step"), now_there: Some(file(9_000_000)) });
    assert_eq!(desk.count().0, Asked { rows_remembered: 1, places_planned: 1, ..Asked::default() });
}

#[test]
fn a_folder_in_which_nothing_happens_is_not_planned_again() {
    let mut desk = Desk::full();
    desk.carry_out();
    let engine = &mut desk.folder.alice;
    engine.retry_stuck();
    assert!(!engine.plan_due, "the last plan found nothing to do");
    engine.handle(2_000, Input::Woken);
    engine.retry_stuck();
    assert!(engine.plan_due, "something was told");
}
