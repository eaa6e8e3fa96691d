//! Who gets in, who does not, and what each may learn.

use std::time::Instant;

use cobox_proto::hosting::Holding;
use cobox_proto::id::{FolderId, OpId};
use cobox_proto::limits::REFUSAL_DELAY_MS;
use cobox_proto::members::{OpBody, SignedOp, Signer};
use cobox_proto::replicate::Newcomer;
use cobox_proto::wire::Message;
use cobox_proto::wire::proof::KeyKind;

use crate::device::{Device, Line, now_ms};
use crate::folder::{device_key, key, pair};
use crate::hosting::hosted;
use crate::{Host, soon};

const SPACE: u64 = 1 << 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_stranger_is_refused_like_one_who_asks_for_what_is_not_here() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let line = Line::to(&host.seeder.addrs()).await;
    for (id, n) in [(folder.id(), 66), (FolderId([9; 32]), 1), (FolderId([9; 32]), 66)] {
        for kind in [KeyKind::Device, KeyKind::Member, KeyKind::Invite, KeyKind::Seeder] {
            let begun = Instant::now();
            assert!(!line.open(id, kind, key(n)).await, "{kind:?}");
            assert!(begun.elapsed().as_millis() >= u128::from(REFUSAL_DELAY_MS), "refusals all take their time");
        }
    }
    assert!(!line.open(folder.id(), KeyKind::Member, key(1)).await, "a device's key is no member's");
    assert!(!line.open(folder.id(), KeyKind::Device, key(101)).await, "a member's key is no device's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m1_m4_a_removed_member_is_sent_away_and_not_let_in_again() {
    let host = Host::new().await;
    let (mut folder, _) = hosted(&host, &[2], SPACE).await;
    let mut ben = Device::open(&folder, 2, &host.seeder.addrs()).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    folder.remove(2);
    ana.learn(&folder);
    ben.until(|ben| !ben.is_inside()).await;
    assert!(!ben.line.open(folder.id(), KeyKind::Device, key(2)).await);
    assert!(!ben.line.open(folder.id(), KeyKind::Member, key(102)).await);
    let host = host.restart().await;
    let line = Line::to(&host.seeder.addrs()).await;
    assert!(!line.open(folder.id(), KeyKind::Device, key(2)).await, "nor after a restart");
    assert!(line.open(folder.id(), KeyKind::Device, key(1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_a_member_key_finds_its_folders_and_nobody_else_s() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[2], SPACE).await;
    let line = Line::to(&host.seeder.addrs()).await;
    let found = soon(line.opener.find(vec![key(66), key(102)])).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].folder, found[0].key, found[0].vault), (folder.id(), device_key(102), false));
    assert!(soon(line.opener.find(vec![key(2)])).await.is_empty(), "a device's key is no member's");
    let host = host.restart().await;
    let line = Line::to(&host.seeder.addrs()).await;
    assert_eq!(soon(line.opener.find(vec![key(102)])).await, found, "right after a start too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_device_gets_the_beginning_of_the_folder_and_its_log_alone() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let tree = folder.tree(1, 100);
    let head = folder.head(None, &tree);
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;

    let mut line = Line::to(&host.seeder.addrs()).await;
    assert!(line.open(folder.id(), KeyKind::Member, key(101)).await);
    let peer = line.opened().await;
    let Message::Genesis { bytes } = line.message().await else { panic!("the genesis comes first") };
    assert_eq!(bytes, folder.log.genesis().to_bytes());
    let (mut newcomer, questions) = Newcomer::new(folder.id());
    questions.into_iter().for_each(|question| peer.send(question));
    let (genesis, kept) = loop {
        let message = line.message().await;
        assert!(!matches!(message, Message::HeadsHave { .. } | Message::Heads { .. } | Message::Receipt { .. }));
        if let Some(whole) = newcomer.take(message).unwrap() {
            break whole;
        }
    };
    assert_eq!(genesis.folder_id(), folder.id());
    assert_eq!(kept.ops, folder.ops());
    // Envelopes were never brought by the claim; the device that opened the folder brought them.
    assert_eq!(kept.envelopes, folder.envelopes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_by_invite_is_witnessed_by_the_seeder_with_nobody_else_there() {
    let host = Host::new().await;
    let (mut folder, offer) = hosted(&host, &[], SPACE).await;
    let invite = folder.invite(30, now_ms() + 3_600_000);
    let mut line = Line::to(&host.seeder.addrs()).await;
    assert_eq!(line.claim(folder.id(), &offer, &folder.parts()).await, Some(Ok(())), "brings the invite");
    drop(line);

    let mut line = Line::to(&host.seeder.addrs()).await;
    assert!(line.open(folder.id(), KeyKind::Invite, key(30)).await);
    let peer = line.opened().await;
    let signers = vec![Signer { grant: invite, key: device_key(30) }, Signer { grant: OpId::ZERO, key: device_key(3) }];
    let body = OpBody::Join { invite, member: pair(103), device: pair(3) };
    let op =
        cobox_proto::members::Op { folder: folder.id(), signers, deps: folder.log.frontier(), body, sealed: vec![] };
    let join = SignedOp::sign(op, &[&key(30), &key(3)]).unwrap();
    peer.send(Message::Ops { ops: vec![join.bytes().to_vec()] });
    loop {
        if let Message::Ops { ops } = line.message().await
            && let Some(op) = ops.iter().find_map(|bytes| SignedOp::from_bytes(bytes).ok())
            && let OpBody::Witness { join: of, .. } = op.op().body
        {
            assert_eq!((of, op.op().signers[0].key), (join.id(), host.seeder.key()));
            break;
        }
    }
    let line = Line::to(&host.seeder.addrs()).await;
    assert!(line.open(folder.id(), KeyKind::Device, key(3)).await, "a member now");
    let line = Line::to(&host.seeder.addrs()).await;
    assert!(!line.open(folder.id(), KeyKind::Invite, key(30)).await, "the invite is used up");
    let host = host.restart().await;
    assert_eq!(host.seeder.folders().await[0].members, 2, "kept");
}
