//! Three words: the right ones meet, wrong ones end it, and nobody in between passes anything off. `spoken.json` holds what is said.

use cobox_core::members::{
    InviteCode, InviteRandom, SpokenCode, SpokenError, SpokenInviter, SpokenJoiner, Terms, invite,
};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::{Address, Ticket};
use cobox_proto::id::{EndpointId, Hash};
use cobox_proto::limits::{INVITE_TICKETS_MAX, SPOKEN_SEALED_BYTES_MAX, TICKET_BYTES_MAX};
use cobox_proto::members::Role;
use cobox_proto::wire::{Guess, Half, Nameplate, Party, Told};
use serde_json::json;

use crate::cast::{Folder, Person};
use crate::vector_file::{check, hex, text, unhex};

const ANA: EndpointId = EndpointId([0xaa; 32]);
const BEN: EndpointId = EndpointId([0xbb; 32]);
const MALLORY: EndpointId = EndpointId([0xcc; 32]);

fn said(words: &str) -> SpokenCode {
    words.parse().unwrap()
}

fn ticket(endpoint: EndpointId) -> Vec<u8> {
    let addresses = vec![Address::from("192.0.2.7:41234".parse::<std::net::SocketAddr>().unwrap())];
    Ticket { party: Party::Member, endpoint, addresses }.to_bytes()
}

fn an_invite(tickets: Vec<Vec<u8>>) -> InviteCode {
    let mut ana = Person::new(1);
    let folder = Folder::founded_by(&mut ana);
    let terms = Terms { role: Role::Editor, max_uses: 1, expires_ms: 1_800_000_000_000, grant: true };
    let random = InviteRandom { seed: [0x77; 16], encapsulation: [0x88; 32] };
    invite(&folder.log, &folder.roster(), ana.keys(), ana.author(), terms, tickets, &random).unwrap().code
}

/// Ana with her words, and what she lays down.
fn ana(words: &str) -> (SpokenInviter, Told) {
    let (inviter, half) = SpokenInviter::start(&said(words), ANA, &[1; 32]);
    (inviter, Told { inviter: ANA, half })
}

const WORDS: &str = "7-apple-river-moon";

#[test]
fn the_right_words_meet_and_give_the_invite() {
    let (inviter, told) = ana(WORDS);
    let (joiner, guess) = SpokenJoiner::start(&said("7 APPLE river, moon"), BEN, &told, &[2; 32]).unwrap();
    let invite = an_invite(vec![ticket(MALLORY), ticket(ANA)]);
    let sealed = inviter.hear(&BEN, &guess).unwrap().seal(&invite);
    assert_eq!(joiner.open(&sealed).unwrap(), invite);
    assert!(!sealed.windows(16).any(|window| invite.to_bytes()[65..81] == *window), "the seed is not in the clear");
}

#[test]
fn g4_any_wrong_word_and_any_other_number_is_wrong() {
    for typed in ["7-apple-river-sun", "7-moon-river-apple", "7-apple-apple-moon", "8-apple-river-moon"] {
        let (inviter, told) = ana(WORDS);
        let (joiner, guess) = SpokenJoiner::start(&said(typed), BEN, &told, &[2; 32]).unwrap();
        assert_eq!(inviter.hear(&BEN, &guess).unwrap_err(), SpokenError::Wrong, "{typed}");
        // Nor does the joiner take what somebody seals who does not know its words.
        let (inviter, _) = ana(WORDS);
        let (_, right) = SpokenJoiner::start(&said(WORDS), BEN, &told, &[2; 32]).unwrap();
        let sealed = inviter.hear(&BEN, &right).unwrap().seal(&an_invite(vec![ticket(ANA)]));
        assert_eq!(joiner.open(&sealed).unwrap_err(), SpokenError::Wrong, "{typed}");
    }
}

#[test]
fn x13_an_exchange_is_worth_nothing_again_elsewhere_or_backwards() {
    let (inviter, told) = ana(WORDS);
    let (joiner, guess) = SpokenJoiner::start(&said(WORDS), BEN, &told, &[2; 32]).unwrap();
    // Again: Ana says the same words once more, with other randomness.
    let (again, half) = SpokenInviter::start(&said(WORDS), ANA, &[3; 32]);
    assert_ne!(half, told.half);
    assert_eq!(again.hear(&BEN, &guess).unwrap_err(), SpokenError::Wrong, "a guess that was right once");
    // Elsewhere: somebody in between passes it on as their own, or passes themselves off as Ana.
    assert_eq!(ana(WORDS).0.hear(&MALLORY, &guess).unwrap_err(), SpokenError::Wrong);
    let posed = Told { inviter: MALLORY, ..told };
    let (_, to_mallory) = SpokenJoiner::start(&said(WORDS), BEN, &posed, &[2; 32]).unwrap();
    assert_eq!(ana(WORDS).0.hear(&BEN, &to_mallory).unwrap_err(), SpokenError::Wrong);
    // Backwards: Ana's own half, and what a confirmation could be made of it.
    let mirrored = Guess { half: told.half, confirmation: guess.confirmation };
    assert_eq!(ana(WORDS).0.hear(&BEN, &mirrored).unwrap_err(), SpokenError::Wrong);
    // What is sealed for one guess does not open for another.
    let sealed = inviter.hear(&BEN, &guess).unwrap().seal(&an_invite(vec![ticket(ANA)]));
    let (other, _) = SpokenJoiner::start(&said(WORDS), BEN, &told, &[4; 32]).unwrap();
    assert_eq!(other.open(&sealed).unwrap_err(), SpokenError::Wrong);
    assert!(joiner.open(&sealed).is_ok());
}

#[test]
fn i1_every_cut_and_every_flipped_bit_of_what_passes_is_refused() {
    let (inviter, told) = ana(WORDS);
    let start = |told: &Told| SpokenJoiner::start(&said(WORDS), BEN, told, &[2; 32]);
    let (_, guess) = start(&told).unwrap();
    for bit in 0..256 {
        let mut changed = told;
        changed.half.0[bit / 8] ^= 1 << (bit % 8);
        if let Ok((_, guess)) = start(&changed) {
            assert_eq!(ana(WORDS).0.hear(&BEN, &guess).unwrap_err(), SpokenError::Wrong, "Ana's half, bit {bit}");
        }
        let mut changed = guess;
        changed.half.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ana(WORDS).0.hear(&BEN, &changed).unwrap_err(), SpokenError::Wrong, "Ben's half, bit {bit}");
        let mut changed = guess;
        changed.confirmation.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ana(WORDS).0.hear(&BEN, &changed).unwrap_err(), SpokenError::Wrong, "confirmation, bit {bit}");
    }
    let sealed = inviter.hear(&BEN, &guess).unwrap().seal(&an_invite(vec![ticket(ANA)]));
    let open = |sealed: &[u8]| start(&told).unwrap().0.open(sealed);
    assert!(open(&sealed).is_ok());
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&changed).unwrap_err(), SpokenError::Wrong, "sealed, bit {bit}");
    }
    for cut in 0..sealed.len() {
        assert_eq!(open(&sealed[..cut]).unwrap_err(), SpokenError::Wrong, "cut at {cut}");
    }
    assert!(open(&[&sealed[..], &[0]].concat()).is_err());
}

#[test]
fn s3_an_invite_must_name_the_machine_that_gave_it() {
    let (inviter, told) = ana(WORDS);
    let (joiner, guess) = SpokenJoiner::start(&said(WORDS), BEN, &told, &[2; 32]).unwrap();
    let sealed = inviter.hear(&BEN, &guess).unwrap().seal(&an_invite(vec![ticket(MALLORY)]));
    assert_eq!(joiner.open(&sealed).unwrap_err(), SpokenError::Foreign);
}

#[test]
fn i3_the_largest_invite_fits_when_it_is_sealed() {
    let largest = an_invite(vec![vec![0; TICKET_BYTES_MAX]; INVITE_TICKETS_MAX]);
    let (inviter, told) = ana(WORDS);
    let (_, guess) = SpokenJoiner::start(&said(WORDS), BEN, &told, &[2; 32]).unwrap();
    assert!(inviter.hear(&BEN, &guess).unwrap().seal(&largest).len() <= SPOKEN_SEALED_BYTES_MAX);
}

#[test]
fn what_is_said_is_as_it_was_written_down() {
    let (inviter, told) = ana(WORDS);
    let (joiner, guess) = SpokenJoiner::start(&said(WORDS), BEN, &told, &[2; 32]).unwrap();
    let (_, wrong) = SpokenJoiner::start(&said("7-apple-river-sun"), BEN, &told, &[2; 32]).unwrap();
    let invite = an_invite(vec![ticket(ANA)]);
    let sealed = inviter.hear(&BEN, &guess).unwrap().seal(&invite);
    let file = check(
        "spoken",
        json!({
            "words": WORDS,
            "inviter": ANA.to_string(), "joiner": BEN.to_string(),
            "inviter_random": hex([1; 32]), "joiner_random": hex([2; 32]),
            "inviter_half": hex(told.half.0), "joiner_half": hex(guess.half.0),
            "confirmation": guess.confirmation.to_string(),
            "invite": hex(invite.to_bytes()), "sealed": hex(&sealed),
            "refuse": {
                "one_word_wrong": { "joiner_half": hex(wrong.half.0), "confirmation": wrong.confirmation.to_string() },
                "typed": ["", "7", "7-apple-river", "apple-river-moon", "0-apple-river-moon", "1000-apple-river-moon",
                    "7-apple-river-moon-moon", "7-apple-rivver-moon"],
            },
        }),
    );
    assert_eq!(joiner.open(&unhex(&file["sealed"])).unwrap(), invite);
    let half = |value: &serde_json::Value| Half(unhex(value).try_into().unwrap());
    let refused = &file["refuse"]["one_word_wrong"];
    let confirmation: Hash = text(&refused["confirmation"]).parse().unwrap();
    let guess = Guess { half: half(&refused["joiner_half"]), confirmation };
    assert_eq!(ana(WORDS).0.hear(&BEN, &guess).unwrap_err(), SpokenError::Wrong);
    for typed in file["refuse"]["typed"].as_array().unwrap() {
        assert!(text(typed).parse::<SpokenCode>().is_err(), "{typed}");
    }
    assert_eq!(SpokenCode::new(Nameplate::new(7).unwrap(), &[0; 6]).to_text().as_str(), "7-abandon-abandon-abandon");
}
