//! G1-G4, G6, X13, S11: the door. A stranger has an address and speaks frames; what it proves decides what it may do.

use anyhow::{Context, Result, ensure};
use cobox_proto::codec::Canonical;
use cobox_proto::id::{BlindedFolder, EndpointId, FolderId, Hash, OfferId, SigKey};
use cobox_proto::limits::{
    AUTH_TIMEOUT_MS, FRAME_BYTES_BEFORE_AUTH_MAX, OPENS_WAITING_MAX, REFUSAL_DELAY_MS, REFUSALS_BEFORE_AUTH_MAX,
};
use cobox_proto::link::{Ending, Link, Output};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::{KeyKind, Proof, Session, Side};
use cobox_proto::wire::{Channel, FoundFolder, Frame, GoodbyeReason, Hello, Message, Party};

use crate::{Against, Role, Script, Verdict, pure};

const FOLDER: FolderId = FolderId([7; 32]);

pub(crate) const SCRIPTS: &[Script] = &[
    door("g1", "a frame is of no kind", Verdict::Closed, no_frame),
    door("g1", "a frame comes before the greeting", Verdict::Closed, before_greeting),
    door("g1", "a stranger greets twice", Verdict::Closed, greets_twice),
    door("g1", "a channel is closed that never was", Verdict::Closed, closes_nothing),
    door("g1", "a channel has a number that is ours to give", Verdict::Closed, our_number),
    door("g1", "channel numbers go back", Verdict::Closed, number_again),
    door("g2", "a large frame comes before any proof", Verdict::Closed, large_frame),
    door("g2", "folders are spoken of before they are open", Verdict::Closed, speaks_early),
    door("g2", "more folders are asked for than anybody waits for", Verdict::Closed, many_opens),
    door("g2", "an answer to a question that nobody asked", Verdict::Closed, unasked_answer),
    door("g2", "folders are found that nobody looked for", Verdict::Closed, unasked_find),
    door("g2", "ops introduce a device in more bytes than a stranger has", Verdict::Closed, long_introduction),
    door("g3", "a stranger is silent", Verdict::Closed, silent),
    door("g3", "a stranger drips frames and proves nothing", Verdict::Closed, drips),
    door("g4", "a folder that is here and one that is not", Verdict::LikeAbsent, present_and_absent),
    door("g4", "folder ids are guessed", Verdict::Closed, guesses_folders),
    door("g4", "member keys are guessed", Verdict::Closed, guesses_members),
    door("g4", "an offer's secret is guessed", Verdict::LikeAbsent, guesses_offer),
    door("g6", "a proof made for another session is relayed", Verdict::LikeAbsent, relayed),
    door("g6", "our own proof is reflected", Verdict::LikeAbsent, reflected),
    door("g6", "whom we called shows a proof for another folder", Verdict::Closed, wrong_host),
    door("x13", "a proof as device is shown as a seeder's", Verdict::LikeAbsent, other_kind),
    door("s11", "a peer speaks older versions alone", Verdict::Closed, older),
    door("s11", "a peer's versions run backwards", Verdict::Closed, backwards),
    door("s11", "a peer speaks newer versions alone", Verdict::Closed, newer),
];

const fn door(case: &'static str, name: &'static str, verdict: Verdict, play: fn() -> Result<Verdict>) -> Script {
    pure(case, name, Role::Stranger, Against::Both, verdict, play)
}

fn session() -> Session {
    Session { exporter: [1; 32], dialer: EndpointId([2; 32]), acceptor: EndpointId([3; 32]) }
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

/// Bob's end of a connection; the other end is written by hand.
struct Door {
    link: Link,
    said: Vec<Output>,
}

impl Door {
    /// Somebody called.
    fn silent() -> Self {
        let mut door = Self { link: Link::new(0, session(), Side::Acceptor, Party::Member), said: vec![] };
        door.listen();
        door
    }

    /// Somebody called, and greeted.
    fn greeted() -> Self {
        let mut door = Self::silent();
        door.hears(0, &Frame::Hello(Hello::ours(Party::Member)));
        door
    }

    /// Bob called somebody, who greeted.
    fn calling() -> Self {
        let mut door = Self { link: Link::new(0, session(), Side::Dialer, Party::Member), said: vec![] };
        door.hears(0, &Frame::Hello(Hello::ours(Party::Seeder)));
        door
    }

    fn listen(&mut self) {
        self.said.extend(std::iter::from_fn(|| self.link.poll_output()));
    }

    fn hears(&mut self, now_ms: u64, frame: &Frame) {
        self.hears_bytes(now_ms, &frame.to_bytes());
    }

    fn hears_bytes(&mut self, now_ms: u64, bytes: &[u8]) {
        self.link.receive(now_ms, bytes);
        self.listen();
    }

    fn ending(&self) -> Option<&Ending> {
        self.said.iter().find_map(|output| match output {
            Output::Ended { why } => Some(why),
            _ => None,
        })
    }

    /// What it came to; a stranger has proved nothing in any case.
    fn verdict(mut self) -> Result<Verdict> {
        ensure!(!self.link.is_proved(), "it counts as proved");
        ensure!(!self.said.iter().any(|o| matches!(o, Output::Proved | Output::ToFolder { .. })), "it got in");
        let Some(why) = self.ending() else { return Ok(Verdict::Ignored) };
        ensure!(!matches!(why, Ending::ByPeer(_)), "{why}");
        self.said.clear();
        self.hears(1, &Frame::Hello(Hello::ours(Party::Member)));
        ensure!(self.said.is_empty(), "after the end nothing is said: {:?}", self.said);
        Ok(Verdict::Closed)
    }

    /// The stranger asks to enter with this; whether Bob, who has the folder, finds a proof that holds.
    fn holds(&mut self, proof: Proof) -> Option<bool> {
        let blinded = session().blind(&FOLDER);
        self.hears(0, &Frame::Open { channel: Channel(0), blinded, proof });
        let asked = self.said.iter().any(|o| matches!(o, Output::OpenAsked { .. }));
        asked.then(|| self.link.asked(Channel(0), &FOLDER).is_some())
    }
}

fn proof(n: u8) -> Proof {
    Proof::Key(session().prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(n)))
}

fn no_frame() -> Result<Verdict> {
    for bytes in [&[][..], &[0], &[255; 40], &[200, 1, 2, 3], b"GET / HTTP/1.1\r\n\r\n", &[22, 3, 1, 0, 0]] {
        let mut door = Door::greeted();
        door.hears_bytes(0, bytes);
        ensure!(door.verdict()? == Verdict::Closed, "{bytes:?}");
    }
    Ok(Verdict::Closed)
}

fn before_greeting() -> Result<Verdict> {
    let mut door = Door::silent();
    door.hears(0, &Frame::Open { channel: Channel(0), blinded: session().blind(&FOLDER), proof: proof(1) });
    door.verdict()
}

fn greets_twice() -> Result<Verdict> {
    let mut door = Door::greeted();
    door.hears(0, &Frame::Hello(Hello { version_min: 1, version_max: 1, party: Party::Seeder }));
    door.verdict()
}

fn closes_nothing() -> Result<Verdict> {
    for channel in [0, 1, 2, u32::MAX] {
        let mut door = Door::greeted();
        door.hears(0, &Frame::Close { channel: Channel(channel) });
        ensure!(door.verdict()? == Verdict::Closed, "{channel}");
    }
    Ok(Verdict::Closed)
}

fn our_number() -> Result<Verdict> {
    let mut door = Door::greeted();
    door.hears(0, &Frame::Open { channel: Channel(1), blinded: session().blind(&FOLDER), proof: proof(1) });
    door.verdict()
}

fn number_again() -> Result<Verdict> {
    let mut door = Door::greeted();
    for channel in [4, 2] {
        door.hears(0, &Frame::Open { channel: Channel(channel), blinded: session().blind(&FOLDER), proof: proof(1) });
    }
    door.verdict()
}

fn large_frame() -> Result<Verdict> {
    let mut door = Door::greeted();
    let message = Message::Ops { ops: vec![vec![0; FRAME_BYTES_BEFORE_AUTH_MAX]] };
    door.hears(0, &Frame::On { channel: Channel(0), message });
    door.verdict()
}

fn speaks_early() -> Result<Verdict> {
    let mut door = Door::greeted();
    door.hears(0, &Frame::Open { channel: Channel(0), blinded: session().blind(&FOLDER), proof: proof(1) });
    door.hears(0, &Frame::On { channel: Channel(0), message: Message::GenesisWanted });
    door.verdict()
}

fn many_opens() -> Result<Verdict> {
    let mut door = Door::greeted();
    for n in 0..=OPENS_WAITING_MAX as u32 {
        ensure!(door.ending().is_none(), "no. {n}");
        let blinded = BlindedFolder([n as u8; 32]);
        door.hears(0, &Frame::Open { channel: Channel(2 * n), blinded, proof: proof(1) });
    }
    door.verdict()
}

fn unasked_answer() -> Result<Verdict> {
    for side in [Door::greeted, Door::calling] {
        for channel in [0, 1] {
            let mut door = side();
            let proof = session().prove(Side::Acceptor, &FOLDER, KeyKind::Seeder, &key(1));
            door.hears(0, &Frame::Opened { channel: Channel(channel), proof });
            ensure!(door.verdict()? == Verdict::Closed, "{channel}");
        }
    }
    Ok(Verdict::Closed)
}

fn unasked_find() -> Result<Verdict> {
    let found = FoundFolder { key: SigKey([1; 32]), folder: FOLDER, vault: false };
    for folders in [vec![found], vec![found; 1024], vec![]] {
        let mut door = Door::greeted();
        door.hears(0, &Frame::Found { folders });
        ensure!(door.verdict()? == Verdict::Closed, "it is an answer to nothing");
    }
    Ok(Verdict::Closed)
}

fn long_introduction() -> Result<Verdict> {
    let mut door = Door::greeted();
    door.hears(0, &Frame::Introduce { blinded: session().blind(&FOLDER), ops: vec![vec![0; 1 << 10]; 17] });
    door.verdict()
}

fn silent() -> Result<Verdict> {
    let mut door = Door::silent();
    door.link.tick(AUTH_TIMEOUT_MS - 1);
    door.listen();
    ensure!(door.ending().is_none(), "it has some seconds");
    door.link.tick(AUTH_TIMEOUT_MS);
    door.listen();
    door.verdict()
}

fn drips() -> Result<Verdict> {
    let mut door = Door::greeted();
    for second in 0..10 {
        let introduce = Frame::Introduce { blinded: session().blind(&FOLDER), ops: vec![vec![second; 10]] };
        door.hears(u64::from(second) * 1000, &introduce);
        door.link.tick(u64::from(second) * 1000 + 500);
        door.listen();
    }
    ensure!(door.ending().is_none(), "until then it may");
    door.link.tick(AUTH_TIMEOUT_MS);
    door.listen();
    door.verdict()
}

fn present_and_absent() -> Result<Verdict> {
    let answers = |folder: FolderId| -> Result<(Vec<u8>, Option<u64>)> {
        let mut door = Door::greeted();
        let proof = Proof::Key(session().prove(Side::Dialer, &folder, KeyKind::Device, &key(9)));
        door.hears(50, &Frame::Open { channel: Channel(0), blinded: session().blind(&folder), proof });
        // Bob has one of them, where nobody knows the key; of the other he has never heard. He refuses both.
        door.said.clear();
        door.link.refuse(50, Channel(0));
        door.listen();
        ensure!(door.said.is_empty(), "not at once");
        let due = door.link.poll_timeout();
        door.link.tick(50 + REFUSAL_DELAY_MS);
        door.listen();
        match door.said.as_slice() {
            [Output::Send(frame)] => Ok((frame.clone(), due)),
            other => anyhow::bail!("{other:?}"),
        }
    };
    ensure!(answers(FOLDER)? == answers(FolderId([8; 32]))?, "byte for byte, moment for moment");
    Ok(Verdict::LikeAbsent)
}

fn guesses_folders() -> Result<Verdict> {
    let mut door = Door::greeted();
    for n in 0..REFUSALS_BEFORE_AUTH_MAX as u32 {
        let now_ms = u64::from(n) * 10;
        door.hears(
            now_ms,
            &Frame::Open { channel: Channel(2 * n), blinded: BlindedFolder([n as u8; 32]), proof: proof(1) },
        );
        door.link.refuse(now_ms, Channel(2 * n));
        door.link.tick(now_ms);
        door.listen();
    }
    door.verdict()
}

fn guesses_members() -> Result<Verdict> {
    let mut door = Door::greeted();
    for n in 0..=REFUSALS_BEFORE_AUTH_MAX as u64 {
        let proofs = vec![session().prove(Side::Dialer, &FolderId::ZERO, KeyKind::Member, &key(n as u8))];
        door.hears(n, &Frame::Find { proofs });
        door.link.found(vec![]);
        door.listen();
    }
    door.verdict()
}

fn guesses_offer() -> Result<Verdict> {
    let mut door = Door::greeted();
    let claim = |secret: [u8; 16]| {
        let mac = session().claim_mac(&secret, &FOLDER);
        Proof::Claim { offer: OfferId([1; 16]), folder: FOLDER, mac }
    };
    ensure!(door.holds(claim([8; 16])) == Some(false), "a claim is no key");
    ensure!(door.link.claim_holds(Channel(0), &[9; 16]).is_none(), "nor a guess the secret");
    let mut door = Door::greeted();
    let elsewhere = Session { exporter: [5; 32], ..session() }.claim_mac(&[9; 16], &FOLDER);
    door.holds(Proof::Claim { offer: OfferId([1; 16]), folder: FOLDER, mac: elsewhere });
    ensure!(door.link.claim_holds(Channel(0), &[9; 16]).is_none(), "nor what was overheard elsewhere");
    let mut door = Door::greeted();
    let mac = Hash(session().claim_mac(&[9; 16], &FolderId([8; 32])).0);
    door.holds(Proof::Claim { offer: OfferId([1; 16]), folder: FOLDER, mac });
    ensure!(door.link.claim_holds(Channel(0), &[9; 16]).is_none(), "nor what was made for another folder");
    let mut door = Door::greeted();
    door.holds(claim([9; 16]));
    ensure!(door.link.claim_holds(Channel(0), &[9; 16]) == Some(FOLDER), "who knows it may");
    Ok(Verdict::LikeAbsent)
}

/// None of these proofs, of a true key, holds here.
fn none_holds(proofs: Vec<Proof>) -> Result<Verdict> {
    for (n, proof) in proofs.into_iter().enumerate() {
        ensure!(Door::greeted().holds(proof) == Some(false), "no. {n}");
    }
    ensure!(Door::greeted().holds(proof(1)) == Some(true), "the honest one does");
    Ok(Verdict::LikeAbsent)
}

fn relayed() -> Result<Verdict> {
    let made = |session: Session| Proof::Key(session.prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(1)));
    none_holds(vec![
        made(Session { exporter: [9; 32], ..session() }),
        made(Session { dialer: EndpointId([9; 32]), ..session() }),
        made(Session { acceptor: EndpointId([9; 32]), ..session() }),
    ])
}

fn reflected() -> Result<Verdict> {
    none_holds(vec![Proof::Key(session().prove(Side::Acceptor, &FOLDER, KeyKind::Device, &key(1)))])
}

fn other_kind() -> Result<Verdict> {
    let Proof::Key(mut honest) = proof(1) else { anyhow::bail!("it is a key's") };
    let shown_as = [KeyKind::Member, KeyKind::Invite, KeyKind::Seeder].map(|kind| {
        honest.who.kind = kind;
        Proof::Key(honest)
    });
    none_holds(shown_as.into())
}

fn wrong_host() -> Result<Verdict> {
    for (by, folder) in [(Side::Acceptor, FolderId([8; 32])), (Side::Dialer, FOLDER)] {
        let mut door = Door::calling();
        let channel = door.link.open(FOLDER, proof(2)).context("nothing is open yet")?;
        let proof = session().prove(by, &folder, KeyKind::Device, &key(1));
        door.hears(0, &Frame::Opened { channel, proof });
        ensure!(door.verdict()? == Verdict::Closed, "{by:?}");
    }
    Ok(Verdict::Closed)
}

fn versions(version_min: u16, version_max: u16) -> Result<Verdict> {
    let mut door = Door::silent();
    door.hears(0, &Frame::Hello(Hello { version_min, version_max, party: Party::Member }));
    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Version }.to_bytes();
    let unreadable = matches!(door.ending(), Some(Ending::Unreadable(_)));
    ensure!(unreadable || door.said.contains(&Output::Send(goodbye)), "it is told why");
    door.verdict()
}

fn older() -> Result<Verdict> {
    versions(0, 0)
}

fn newer() -> Result<Verdict> {
    versions(2, u16::MAX)
}

fn backwards() -> Result<Verdict> {
    versions(u16::MAX, 0)
}
