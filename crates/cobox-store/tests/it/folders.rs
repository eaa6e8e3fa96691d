//! The records of folders.

use std::fs;

use cobox_proto::id::{FolderId, Hash, HeadId, OpId, SigKey};
use cobox_store::{FolderStore, HeadState, StoreError, StoredHead, StoredReceipt};
use tempfile::TempDir;

use crate::damage::spoiled;

const HOME: FolderId = FolderId([1; 32]);
const WORK: FolderId = FolderId([2; 32]);

fn store() -> (TempDir, FolderStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(&dir.path().join("folders.db")).unwrap();
    (dir, store)
}

fn head(n: u8, state: HeadState) -> StoredHead {
    StoredHead { id: HeadId([n; 32]), state, received_at_ms: u64::MAX - u64::from(n), bytes: vec![n; 500] }
}

#[test]
fn records_come_back_in_the_order_they_came_and_after_a_restart() {
    let (dir, store) = store();
    let ops: Vec<(OpId, Vec<u8>)> = [9u8, 3, 7].map(|n| (OpId([n; 32]), vec![n; 100])).to_vec();
    let borrowed: Vec<(OpId, &[u8])> = ops.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
    store.put_ops(&HOME, &borrowed).unwrap();
    store.put_ops(&HOME, &borrowed[..1]).unwrap();
    let heads = [head(5, HeadState::Accepted), head(4, HeadState::Pending)];
    for head in &heads {
        store.put_head(&HOME, head).unwrap();
    }
    let receipt = StoredReceipt { seeder: SigKey([8; 32]), head: heads[0].id, bytes: b"I hold it".to_vec() };
    store.put_receipt(&HOME, &receipt).unwrap();
    drop(store);
    let store = FolderStore::open(&dir.path().join("folders.db")).unwrap();
    assert_eq!(store.ops(&HOME).unwrap(), ops);
    assert_eq!(store.heads(&HOME).unwrap(), heads);
    assert_eq!(store.receipts(&HOME).unwrap(), [receipt]);
    assert_eq!(store.ops(&WORK).unwrap(), []);
}

#[test]
fn a_head_changes_its_state_and_keeps_its_place() {
    let (_dir, store) = store();
    let states = [HeadState::Pending, HeadState::Accepted, HeadState::Refused, HeadState::Quarantined];
    for (n, state) in (0..).zip(states) {
        store.put_head(&HOME, &head(n, HeadState::Pending)).unwrap();
        store.put_head(&HOME, &head(n, state)).unwrap();
    }
    let stored: Vec<HeadState> = store.heads(&HOME).unwrap().into_iter().map(|head| head.state).collect();
    assert_eq!(stored, states);
    assert_eq!(store.head(&HOME, &HeadId([2; 32])).unwrap(), Some(head(2, HeadState::Refused)));
    store.write(&HOME, |batch| batch.delete_head(&HeadId([2; 32]))).unwrap();
    assert_eq!(store.head(&HOME, &HeadId([2; 32])).unwrap(), None);
}

#[test]
fn envelopes_are_found_by_op_and_recipient_and_can_be_pruned() {
    let (_dir, store) = store();
    // Ops whose ids are neighbours and full of 0xff, where a careless range would mix them up.
    let (one, two) = (OpId([0xff; 32]), OpId([0xfe; 32]));
    for (op, n) in [(one, 1), (one, 0xff), (two, 3)] {
        store.put_envelope(&HOME, &op, &Hash([n; 32]), &[n]).unwrap();
    }
    assert_eq!(store.envelopes(&HOME, &one).unwrap(), [(Hash([1; 32]), vec![1]), (Hash([0xff; 32]), vec![0xff])]);
    assert_eq!(store.envelope(&HOME, &two, &Hash([3; 32])).unwrap(), Some(vec![3]));
    store.write(&HOME, |batch| batch.delete_envelope(&one, &Hash([1; 32]))).unwrap();
    assert_eq!(store.envelopes(&HOME, &one).unwrap().len(), 1);
}

#[test]
fn values_are_listed_by_prefix_in_order() {
    let (_dir, store) = store();
    for key in ["peer/b", "peer/a", "peers", "pee", "größe", ""] {
        store.put_value(&HOME, key, key.as_bytes()).unwrap();
    }
    store.put_value(&FolderId::ZERO, "port", b"4242").unwrap();
    let keys: Vec<String> = store.values(&HOME, "peer/").unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["peer/a", "peer/b"]);
    assert_eq!(store.values(&HOME, "").unwrap().len(), 6);
    store.put_value(&HOME, "peers", b"new").unwrap();
    assert_eq!(store.value(&HOME, "peers").unwrap(), Some(b"new".to_vec()));
    store.write(&HOME, |batch| batch.delete_value("peers")).unwrap();
    assert_eq!(store.value(&HOME, "peers").unwrap(), None);
    assert_eq!(store.folders().unwrap(), [HOME]);
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    let (_dir, store) = store();
    let failed: Result<(), StoreError> = store.write(&HOME, |batch| {
        batch.put_value("a", b"1")?;
        Err(StoreError::DiskFull { path: "elsewhere".into() })
    });
    assert!(failed.is_err());
    assert_eq!(store.value(&HOME, "a").unwrap(), None);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.write(&HOME, |batch| -> Result<(), StoreError> {
            batch.put_value("a", b"1")?;
            panic!("a bug in the caller")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(store.value(&HOME, "a").unwrap(), None);
    store.put_value(&HOME, "a", b"2").unwrap();
}

#[test]
fn a_deleted_folder_leaves_the_others() {
    let (_dir, store) = store();
    for folder in [HOME, WORK] {
        store.put_value(&folder, "a", b"1").unwrap();
        store.put_head(&folder, &head(1, HeadState::Accepted)).unwrap();
    }
    store.delete_folder(&HOME).unwrap();
    assert_eq!(store.folders().unwrap(), [WORK]);
    assert!(store.heads(&HOME).unwrap().is_empty() && store.heads(&WORK).unwrap().len() == 1);
}

#[test]
fn i5_a_spoiled_database_is_named_and_nothing_wrong_is_ever_read_from_it() {
    let (dir, store) = store();
    let path = dir.path().join("folders.db");
    for n in 0..200u8 {
        store.put_head(&HOME, &head(n, HeadState::Accepted)).unwrap();
    }
    let expected = store.heads(&HOME).unwrap();
    drop(store);
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 50 * 1000, "everything is in the file, nothing in the log");
    let cases = spoiled(&good);
    assert_eq!(cases.len(), 20);
    for (case, bytes) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folders.db");
        fs::write(&path, &bytes).unwrap();
        let error = match FolderStore::open(&path).and_then(|store| store.heads(&HOME)) {
            Err(error) => error,
            Ok(heads) => panic!("{case}: read {} of {} heads", heads.len(), expected.len()),
        };
        assert!(matches!(error, StoreError::DamagedDatabase { .. }), "{case}: {error:?}");
        assert!(error.to_string().contains("folders.db"), "{case}: {error}");
        assert!(fs::read(&path).unwrap() == bytes, "{case}: the file was changed");
    }
}

#[test]
fn d9_one_flipped_bit_in_a_record_is_noticed() {
    let (dir, store) = store();
    let path = dir.path().join("folders.db");
    store.put_value(&HOME, "name", b"an unmistakable value").unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == b"unmistakable").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = FolderStore::open(&path).unwrap().value(&HOME, "name").unwrap_err();
    assert!(matches!(error, StoreError::DamagedDatabase { .. }), "{error}");
}

#[test]
fn u2_a_database_of_a_newer_program_is_refused_before_anything_is_written() {
    let (dir, store) = store();
    let path = dir.path().join("folders.db");
    drop(store);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let before = fs::read(&path).unwrap();
    let error = FolderStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("newer program"));
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn i5_a_database_of_another_program_is_not_taken_for_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folders.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = FolderStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::DamagedDatabase { .. }), "{error}");
}

#[test]
fn a_creation_that_was_cut_short_does_not_block_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folders.db");
    fs::write(dir.path().join("folders.new"), b"half a database").unwrap();
    FolderStore::open(&path).unwrap().put_value(&HOME, "a", b"1").unwrap();
}
