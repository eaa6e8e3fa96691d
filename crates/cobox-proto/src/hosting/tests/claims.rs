//! A folder comes to a seeder that does not know it.

use crate::hosting::{Arriving, Delivered, Offer, Ticket};
use crate::id::{EndpointId, FolderId, OfferId};
use crate::members::{OpBody, Retention};
use crate::replicate::tests::{Folder, key};
use crate::wire::{ClaimRefusal, LogPart, Party};

fn offer() -> Offer {
    Offer {
        seeder: key(60).public(),
        ticket: Ticket { party: Party::Seeder, endpoint: EndpointId([1; 32]), addresses: vec![] },
        id: OfferId([2; 16]),
        secret: [3; 16],
        quota_bytes: 1000,
        keep_days: 0,
        expires_ms: 50,
    }
}

/// A folder that accepted the offer.
fn folder(offer: &Offer, quota_bytes: u64) -> Folder {
    let mut folder = Folder::of(&[2]);
    let (grant, offer_hash) = (folder.genesis().op_id(), offer.grant_hash(&folder.id()));
    let (seeder, retention) = (offer.seeder, Retention::default());
    let body = OpBody::SeederGrant { seeder, offer_hash, quota_bytes, retention, member_share: 50 };
    folder.write(grant, &key(1), body);
    folder
}

fn part(folder: &Folder) -> LogPart {
    let ops = folder.ops.iter().map(|op| op.bytes().to_vec()).collect();
    LogPart { genesis: folder.genesis().to_bytes(), ops, last: true }
}

fn deliver(folder: &Folder) -> Delivered {
    Arriving::default().take(&folder.id(), part(folder)).unwrap().unwrap()
}

#[test]
fn g5_an_offer_serves_one_folder_until_its_date_and_the_same_folder_for_ever() {
    let offer = offer();
    let folder = folder(&offer, 1000);
    let delivered = deliver(&folder);
    let grant = folder.ops.last().unwrap().id();
    assert_eq!(delivered.judge_claim(50, &offer, None), Ok(grant));
    assert_eq!(delivered.judge_claim(51, &offer, None), Err(ClaimRefusal::Expired));
    assert_eq!(delivered.judge_claim(51, &offer, Some(&folder.id())), Ok(grant), "claiming again is no harm");
    assert_eq!(delivered.judge_claim(50, &offer, Some(&FolderId([9; 32]))), Err(ClaimRefusal::Used));
}

#[test]
fn g5_without_a_grant_for_this_very_offer_nothing_is_hosted() {
    let offer = offer();
    assert_eq!(deliver(&Folder::of(&[])).judge_claim(0, &offer, None), Err(ClaimRefusal::NotGranted));
    let other = Offer { secret: [4; 16], ..offer.clone() };
    assert_eq!(deliver(&folder(&other, 1000)).judge_claim(0, &offer, None), Err(ClaimRefusal::NotGranted));
    let greedy = deliver(&folder(&offer, 1001));
    assert_eq!(greedy.judge_claim(0, &offer, None), Err(ClaimRefusal::NotGranted), "more room than offered");
    assert_eq!(deliver(&folder(&offer, 10)).judge_vault(&offer.seeder, 0), Err(ClaimRefusal::VaultRefused));
}

#[test]
fn i1_a_log_in_pieces_is_whole_or_refused() {
    let offer = offer();
    let folder = folder(&offer, 1000);
    let whole = part(&folder);
    let mut arriving = Arriving::default();
    for (n, op) in whole.ops.iter().enumerate() {
        let genesis = if n == 0 { whole.genesis.clone() } else { vec![] };
        let piece = LogPart { genesis, ops: vec![op.clone()], last: n + 1 == whole.ops.len() };
        let done = arriving.take(&folder.id(), piece).unwrap();
        assert_eq!(done.is_some(), n + 1 == whole.ops.len());
    }
    let mut gap = whole.clone();
    gap.ops.remove(0);
    let mut damaged = whole.clone();
    damaged.ops[0][5] ^= 1;
    let mut twice = whole.clone();
    twice.last = false;
    let cases = [gap, damaged, LogPart { genesis: vec![], ..whole.clone() }];
    for case in cases {
        assert_eq!(Arriving::default().take(&folder.id(), case).unwrap_err(), ClaimRefusal::BadLog);
    }
    assert_eq!(Arriving::default().take(&FolderId([1; 32]), whole.clone()).unwrap_err(), ClaimRefusal::BadLog);
    let mut arriving = Arriving::default();
    arriving.take(&folder.id(), twice).unwrap();
    assert_eq!(arriving.take(&folder.id(), whole).unwrap_err(), ClaimRefusal::BadLog, "two beginnings");
}
