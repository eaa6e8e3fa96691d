//! `invite.json`: codes that open, and texts that are none.

use cobox_core::keys::RootSecret;
use cobox_core::members::{
    InviteCode, InviteRandom, InviteText, JOIN_WORDS, Label, Terms, invite, invite_labelled, invited_name,
    join_waiting, join_words, joiner_name, open_label,
};
use cobox_proto::codec::Canonical;
use cobox_proto::members::{Role, SignedOp};
use cobox_proto::text;
use serde_json::{Value, json};

use crate::cast::{Folder, Person};
use crate::vector_file::{check, hex, list, text as string, unhex};

fn code() -> InviteCode {
    let mut alice = Person::new(1);
    let folder = Folder::founded_by(&mut alice);
    let terms = Terms { role: Role::Reader, max_uses: 3, expires_ms: 1_800_000_000_000, grant: true };
    let random = InviteRandom { seed: [0x77; 16], encapsulation: [0x88; 32] };
    let tickets = vec![vec![1, 2, 3], vec![]];
    invite(&folder.log, &folder.roster(), alice.keys(), alice.author(), terms, tickets, &random).unwrap().code
}

fn refused(code: &InviteCode) -> Vec<Value> {
    let bytes = code.to_bytes();
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        text::write("cbi1", &bytes)
    };
    let tickets_at = bytes.len() - 6;
    assert_eq!(bytes[tickets_at], 2, "two tickets");
    let whole = code.to_text();
    [
        ("nothing", String::new()),
        ("the prefix alone", "cbi1".to_owned()),
        ("unknown version", changed(0, 3)),
        ("one ticket too few", changed(tickets_at, 1)),
        ("one ticket too many", changed(tickets_at, 3)),
        ("more tickets than allowed", changed(tickets_at, 4)),
        ("ticket longer than the code", changed(tickets_at + 1, 9)),
        ("one byte too many", text::write("cbi1", &[&bytes[..], &[0]].concat())),
        ("one byte too few", text::write("cbi1", &bytes[..bytes.len() - 1])),
        ("last letter lost", whole[..whole.len() - 1].to_owned()),
        ("checksum of another kind of code", format!("cbi1{}", &text::write("cbt1", &bytes)[4..])),
        ("a ticket", text::write("cbt1", &bytes)),
    ]
    .into_iter()
    .map(|(why, text)| json!({ "why": why, "text": text }))
    .collect()
}

fn made() -> Value {
    let code = code();
    let bob = RootSecret::from_entropy([2; 16]);
    json!({
        "folder": code.folder.to_string(), "invite": code.invite.to_string(), "seed": hex([0x77; 16]),
        "invite_key": code.secret().sig.public().to_string(), "tickets": code.tickets.iter().map(hex).collect::<Vec<_>>(),
        "text": *code.to_text(),
        "recipient_entropy": hex([2; 16]), "recipient": bob.contact().public().to_string(),
        "sealed_text": code.seal_to(&bob.contact().public(), &[0x99; 32]).unwrap(),
        "refuse": refused(&code),
    })
}

/// A join by a code without keys: what it says, and what stands for it.
fn waiting() -> Value {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let epoch = folder.roster().writable_epoch().unwrap().tag();
    let terms = Terms { role: Role::Admin, max_uses: 1, expires_ms: 1_800_000_000_000, grant: false };
    let random = InviteRandom { seed: [0x77; 16], encapsulation: [0x88; 32] };
    let label = Some(Label { keys: alice.keys(), epoch, text: "Choir" });
    let (log, roster) = (&folder.log, folder.roster());
    let made = invite_labelled(log, &roster, alice.keys(), alice.author(), terms, vec![], label, &random).unwrap();
    let invite = made.ops[0].clone();
    folder.add(invite.clone());
    let join = join_waiting(&folder.log, &made.code, &bob.slot, &bob.device, "Bob").unwrap();
    let (member, device) = (bob.slot.public(), bob.device.public());
    json!({
        "folder": folder.log.folder().to_string(), "seed": hex([0x77; 16]),
        "epoch": epoch.to_string(), "epoch_secret": hex([3; 32]),
        "invite": hex(invite.bytes()), "invite_label": open_label(alice.keys(), invite.op()).unwrap(),
        "folder_name": invited_name(alice.keys(), invite.op()),
        "member": { "sig": member.sig.to_string(), "hpke_id": member.hpke.id().to_string() },
        "device": { "sig": device.sig.to_string(), "hpke_id": device.hpke.id().to_string() },
        "join": hex(join.bytes()), "name": joiner_name(alice.keys(), invite.op(), join.op()),
        "words": join_words(&folder.log.folder(), join.op()),
    })
}

#[test]
fn a_join_that_waits_says_what_it_said_and_has_the_words_it_had() {
    let file = check("waiting_join", waiting());
    assert_eq!((&file["name"], &file["folder_name"]), (&"Bob".into(), &"Choir".into()));
    assert_eq!(string(&file["words"]).split(' ').count(), JOIN_WORDS);
    let folder = string(&file["folder"]).parse().unwrap();
    let join = SignedOp::from_bytes(&unhex(&file["join"])).unwrap();
    assert_eq!(join_words(&folder, join.op()).as_deref(), file["words"].as_str());
}

#[test]
fn codes_are_what_they_were_and_other_texts_are_refused() {
    let file = check("invite", made());
    assert_eq!(string(&file["text"]).parse(), Ok(InviteText::Code(code())));
    let Ok(InviteText::Sealed(sealed)) = string(&file["sealed_text"]).parse() else { panic!("a sealed code") };
    assert_eq!(sealed.open(&RootSecret::from_entropy([2; 16]).contact()), Ok(code()));
    for case in list(&file["refuse"]) {
        assert!(string(&case["text"]).parse::<InviteText>().is_err(), "{}", string(&case["why"]));
    }
}
