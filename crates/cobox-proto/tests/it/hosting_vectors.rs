//! `spec/vectors/{offer,receipt,head}.json`: signed things as bytes or texts, and forms that must be refused with the reason.

use std::net::SocketAddr;

use cobox_proto::codec::Canonical;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::{Address, Holding, Offer, Receipt, SignedReceipt, Ticket};
use cobox_proto::id::{ActorId, Cid, EndpointId, EpochTag, FolderId, HeadId, OfferId, OpId};
use cobox_proto::sign::SecretKey;
use cobox_proto::text;
use cobox_proto::wire::Party;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::vector_file::compare;

const FOLDER: FolderId = FolderId([0x0f; 32]);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn refusal(name: &str, form: String, error: impl ToString) -> Value {
    json!({ "name": name, "form": form, "error": error.to_string() })
}

#[test]
fn offers_and_tickets_are_as_written_down() {
    let ticket = Ticket {
        party: Party::Seeder,
        endpoint: EndpointId([0x0e; 32]),
        addresses: vec![
            Address::from("192.0.2.1:4433".parse::<SocketAddr>().unwrap()),
            Address::from("[2001:db8::7]:4433".parse::<SocketAddr>().unwrap()),
            Address::Relay("https://relay.example".into()),
        ],
    };
    let offer = Offer {
        seeder: key(2).public(),
        ticket: ticket.clone(),
        id: OfferId([3; 16]),
        secret: [4; 16],
        quota_bytes: 50 << 30,
        keep_days: 90,
        expires_ms: 1_800_000_000_000,
    };
    let text = offer.to_text(&key(2));
    assert_eq!(Offer::from_text(&text), Ok(offer.clone()));
    assert_eq!(Ticket::from_text(&ticket.to_text()), Ok(ticket.clone()));

    let forged = offer.to_text(&key(9));
    let mut body = text::read("cbo1", &text).unwrap();
    body[0] = 2;
    let newer = text::write("cbo1", &body);
    let mut with_member = offer.clone();
    with_member.ticket.party = Party::Member;
    let with_member = with_member.to_text(&key(2));
    let refused: Vec<Value> = [
        ("signed by another key", forged),
        ("of a newer version", newer),
        ("its ticket is a member's", with_member),
        ("cut", text[..text.len() - 1].to_owned()),
        ("a ticket", ticket.to_text()),
    ]
    .into_iter()
    .map(|(name, form)| refusal(name, form.clone(), Offer::from_text(&form).unwrap_err()))
    .collect();
    let plain = text::read("cbt1", &ticket.to_text()).unwrap();
    let with = |at: usize, to: u8| {
        let mut body = plain.clone();
        body[at] = to;
        text::write("cbt1", &body)
    };
    let mut swapped = ticket.to_text();
    let last = if swapped.pop() == Some('a') { 'c' } else { 'a' };
    swapped.push(last);
    let crowded = Ticket { addresses: vec![ticket.addresses[0].clone(); 17], ..ticket.clone() };
    let refused_tickets: Vec<Value> = [
        ("of a newer version", with(0, 2)),
        ("of an unknown party", with(1, 3)),
        ("with an unknown kind of address", with(35, 9)),
        ("with too many addresses", text::write("cbt1", &crowded.to_bytes())),
        ("with another letter", swapped),
        ("with a byte too many", text::write("cbt1", &[&plain[..], &[0]].concat())),
        ("an offer", text.clone()),
    ]
    .into_iter()
    .map(|(name, form)| refusal(name, form.clone(), Ticket::from_text(&form).expect_err(name)))
    .collect();
    compare(
        "offer.json",
        &json!({
            "seeder_seed": HEXLOWER.encode(&[2; 32]),
            "ticket": ticket.to_text(),
            "offer": text,
            "grant_hash": { "folder": FOLDER.to_string(), "hash": offer.grant_hash(&FOLDER).to_string() },
            "refused": refused,
            "refused_tickets": refused_tickets,
        }),
    );
}

#[test]
fn receipts_are_as_written_down() {
    let complete = Receipt {
        folder: FOLDER,
        seeder: key(2).public(),
        head: HeadId([1; 32]),
        holding: Holding::Complete,
        received_ms: 1_700_000_000_000,
        keep_until_ms: 1_700_003_600_000,
        free_bytes: 12_345,
        terms: OpId([5; 32]),
    };
    let no_room = Receipt { holding: Holding::NoRoom, keep_until_ms: 0, ..complete.clone() };
    let impossible = Receipt { holding: Holding::NoRoom, ..complete.clone() }.sign(&key(2)).bytes().to_vec();
    let forged = complete.clone().sign(&key(3)).bytes().to_vec();
    let mut unknown = complete.clone().sign(&key(2)).bytes().to_vec();
    unknown[2 + 32 + 32 + 32] = 9;
    let signed = [complete, no_room].map(|receipt| receipt.sign(&key(2)));
    for receipt in &signed {
        assert_eq!(SignedReceipt::from_bytes(receipt.bytes()).as_ref(), Ok(receipt));
    }
    let cut = signed[0].bytes()[..signed[0].bytes().len() - 1].to_vec();
    let refused: Vec<Value> = [
        ("refused, yet kept until later", impossible),
        ("signed by another key", forged),
        ("unknown holding", unknown),
        ("cut", cut),
    ]
    .into_iter()
    .map(|(name, form)| refusal(name, HEXLOWER.encode(&form), SignedReceipt::from_bytes(&form).unwrap_err()))
    .collect();
    compare(
        "receipt.json",
        &json!({
            "seeder_seed": HEXLOWER.encode(&[2; 32]),
            "complete": HEXLOWER.encode(signed[0].bytes()),
            "no_room": HEXLOWER.encode(signed[1].bytes()),
            "refused": refused,
        }),
    );
}

#[test]
fn heads_are_as_written_down() {
    let device = key(1);
    let first = Head {
        folder: FOLDER,
        device: device.public(),
        actor: ActorId::of(&FOLDER, &device.public(), &[6; 16]),
        actor_nonce: Some([6; 16]),
        seq: 1,
        prev: None,
        skip: None,
        root: Cid([7; 32]),
        epoch: EpochTag([8; 16]),
        auth: vec![OpId([9; 32])],
        merged: vec![],
        new_blocks: 3,
        new_bytes: 4096,
        claimed_time_ms: 1_700_000_000_000,
        delta: None,
        sealed: vec![0x0a; 40],
    };
    let one = first.clone().sign(&device).unwrap();
    let second =
        Head { actor_nonce: None, seq: 2, prev: Some(one.id()), merged: vec![HeadId([1; 32])], ..first.clone() };
    let two = second.sign(&device).unwrap();
    let third = Head {
        actor_nonce: None,
        seq: 3,
        prev: Some(two.id()),
        skip: Some(two.id()),
        delta: Some(Cid([2; 32])),
        ..first.clone()
    };
    let three = third.clone().sign(&device).unwrap();
    for head in [&one, &two, &three] {
        assert_eq!(SignedHead::from_bytes(head.bytes()).as_ref(), Ok(head));
    }
    let form = |head: Head, by: &SecretKey| head.sign(by).unwrap().bytes().to_vec();
    let mut stolen = form(first.clone(), &device);
    *stolen.last_mut().unwrap() ^= 1;
    let refused: Vec<Value> = [
        ("a flipped bit in the signature", stolen),
        ("another device's actor", form(Head { actor: ActorId([1; 16]), ..first.clone() }, &device)),
        ("seq 0", form(Head { seq: 0, ..first.clone() }, &device)),
        ("seq 1 with a predecessor", form(Head { prev: Some(one.id()), ..first.clone() }, &device)),
        ("seq 1 without a nonce", form(Head { actor_nonce: None, ..first.clone() }, &device)),
        ("seq 3 without a skip", form(Head { skip: None, ..third.clone() }, &device)),
        ("seq 4 with a skip", form(Head { seq: 4, ..third }, &device)),
        ("merged out of order", form(Head { merged: vec![HeadId([2; 32]), HeadId([1; 32])], ..first }, &device)),
    ]
    .into_iter()
    .map(|(name, form)| refusal(name, HEXLOWER.encode(&form), SignedHead::from_bytes(&form).unwrap_err()))
    .collect();
    let written = |head: &SignedHead| json!({ "bytes": HEXLOWER.encode(head.bytes()), "id": head.id().to_string() });
    compare(
        "head.json",
        &json!({
            "device_seed": HEXLOWER.encode(&[1; 32]),
            "heads": [written(&one), written(&two), written(&three)],
            "refused": refused,
        }),
    );
}
