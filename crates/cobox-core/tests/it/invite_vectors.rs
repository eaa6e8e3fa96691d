//! `invite.json`: codes that open, and texts that are none.

use cobox_core::keys::RootSecret;
use cobox_core::members::{InviteCode, InviteRandom, InviteText, Terms, invite};
use cobox_proto::codec::Canonical;
use cobox_proto::members::Role;
use cobox_proto::text;
use serde_json::{Value, json};

use crate::cast::{Folder, Person};
use crate::vector_file::{check, hex, list, text as string};

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
