//! G1-G6: anybody with an address, at a running member and a running seeder.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cobox_net::{ALPN, EndpointAddrs};
use cobox_proto::hosting::Offer;
use cobox_proto::id::{FolderId, Hash, OfferId};
use cobox_proto::limits::{FRAME_BYTES_BEFORE_AUTH_MAX, MAILBOX_REFUSAL_MS, REFUSAL_DELAY_MS};
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{Guess, Half, LogPart, Nameplate};
use iroh::EndpointAddr;
use iroh::endpoint::presets;

use super::call::Line;
use super::scene::{At, Scene};
use crate::{Against, Role, Script, Verdict, live};

pub(crate) const SCRIPTS: &[Script] = &[
    stranger("g1", "live: two thousand datagrams of junk", Verdict::Ignored, junk),
    stranger("g1", "live: a protocol that is not spoken here", Verdict::Closed, other_protocol),
    stranger("g1", "live: a crowd that says nothing", Verdict::Capped, crowd),
    stranger("g2", "live: a large first frame", Verdict::Closed, large_frame),
    stranger("g2", "live: streams of blocks and small frames that nobody takes", Verdict::Capped, many_streams),
    stranger("g3", "live: a handshake and then silence", Verdict::Closed, silence),
    stranger("g4", "live: a folder that is here and one that is not", Verdict::LikeAbsent, present_and_absent),
    stranger("g4", "live: folders are guessed until the door closes", Verdict::Closed, guesses),
    stranger("g4", "live: member keys are guessed", Verdict::LikeAbsent, member_keys),
    stranger("g4", "live: three words are guessed where nobody said any", Verdict::LikeAbsent, spoken_words),
    live(
        "g5",
        "live: a folder is brought with an invented offer",
        Role::Stranger,
        Against::Seeder,
        Verdict::LikeAbsent,
        invented_offer,
    ),
    live(
        "g5",
        "live: a used offer is used for another folder",
        Role::Stranger,
        Against::Seeder,
        Verdict::Closed,
        used_offer,
    ),
    stranger("g6", "live: another machine answers where somebody should be", Verdict::Closed, another_machine),
];

const fn stranger(
    case: &'static str,
    name: &'static str,
    verdict: Verdict,
    play: fn(&mut Scene) -> Result<Verdict>,
) -> Script {
    live(case, name, Role::Stranger, Against::Both, verdict, play)
}

const BOTH: [At; 2] = [At::Ana, At::Box];
/// A stranger's machine.
const STRANGE: [u8; 32] = [0x5a; 32];
/// For one who is let in at once, or not at all.
const A_SECOND: Duration = Duration::from_secs(1);
/// Until a connection that should be over is over: the time for a proof, and time for a slow machine.
const OVER: Duration = Duration::from_secs(60);

fn junk(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let to = scene.machine(at).listen();
        for n in 0..2000usize {
            let bytes: Vec<u8> = (0..n % 1400).map(|i| (i * 31 + n * 17) as u8).collect();
            let _full = socket.send_to(&bytes, to);
        }
    }
    Ok(Verdict::Ignored)
}

/// A connection without any of our rules on her side.
async fn raw(whom: &EndpointAddrs, protocol: &[u8]) -> Result<(iroh::Endpoint, Option<iroh::endpoint::Connection>)> {
    let endpoint = iroh::Endpoint::bind(presets::Minimal).await?;
    let id = iroh::PublicKey::from_bytes(&whom.key.0)?;
    let addr = whom.addrs.iter().fold(EndpointAddr::new(id), |addr, socket| addr.with_ip_addr(*socket));
    let connection = tokio::time::timeout(Duration::from_secs(20), endpoint.connect(addr, protocol)).await;
    Ok((endpoint, connection.ok().and_then(Result::ok)))
}

fn other_protocol(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let whom = scene.address(at)?;
        for protocol in [&b"h3"[..], b"cobox/0", b"cobox/2", b"other/1"] {
            let (_endpoint, connection) = scene.runtime.block_on(raw(&whom, protocol))?;
            ensure!(connection.is_none(), "{at:?} speaks {protocol:?}");
        }
    }
    Ok(Verdict::Closed)
}

fn crowd(scene: &mut Scene) -> Result<Verdict> {
    let mut lines = Vec::new();
    for at in BOTH {
        let whom = scene.address(at)?;
        scene.runtime.block_on(async {
            let endpoint = iroh::Endpoint::bind(presets::Minimal).await?;
            let id = iroh::PublicKey::from_bytes(&whom.key.0)?;
            let addr = EndpointAddr::new(id).with_ip_addr(whom.addrs[0]);
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..150 {
                let (endpoint, addr) = (endpoint.clone(), addr.clone());
                all.spawn(async move { tokio::time::timeout(A_SECOND, endpoint.connect(addr, ALPN)).await });
            }
            let mut inside = 0;
            while let Some(Ok(ended)) = all.join_next().await {
                if let Ok(Ok(connection)) = ended {
                    inside += 1;
                    lines.push(connection);
                }
            }
            // As many as one source may have; those that were sent away meanwhile made room for others.
            ensure!(inside < 150, "{at:?} let all {inside} of them in");
            anyhow::Ok(())
        })?;
    }
    scene.judge()?;
    Ok(Verdict::Capped)
}

fn over(scene: &Scene, connection: &iroh::endpoint::Connection) -> Result<()> {
    let closed = async { tokio::time::timeout(OVER, connection.closed()).await };
    ensure!(scene.runtime.block_on(closed).is_ok(), "it is not closed");
    Ok(())
}

fn large_frame(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let bytes = if at == At::Ana { FRAME_BYTES_BEFORE_AUTH_MAX as u32 + 1 } else { u32::MAX };
        let whom = scene.address(at)?;
        let (_endpoint, connection) = scene.runtime.block_on(raw(&whom, ALPN))?;
        let connection = anyhow::Context::context(connection, "the door opens")?;
        scene.runtime.block_on(async {
            let (mut send, _recv) = connection.open_bi().await?;
            send.write_all(&bytes.to_le_bytes()).await?;
            anyhow::Ok(())
        })?;
        let begun = Instant::now();
        over(scene, &connection)?;
        ensure!(begun.elapsed() < Duration::from_secs(9), "{at:?} waited for the rest of it");
    }
    Ok(Verdict::Closed)
}

fn many_streams(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let whom = scene.address(at)?;
        let (_endpoint, connection) = scene.runtime.block_on(raw(&whom, ALPN))?;
        let connection = anyhow::Context::context(connection, "the door opens")?;
        let written = scene.runtime.block_on(async {
            let moment = Duration::from_millis(300);
            let block = tokio::time::timeout(moment, connection.open_uni()).await;
            ensure!(block.is_err(), "a stranger sends no block");
            let (mut send, _recv) = connection.open_bi().await?;
            let second = tokio::time::timeout(moment, connection.open_bi()).await;
            ensure!(second.is_err() || connection.close_reason().is_some(), "and has one stream");
            let mut written = 0;
            // One byte of a frame of a thousand, again and again.
            let small = [&1000u32.to_le_bytes()[..], &[7; 1000]].concat();
            while let Ok(Ok(())) = tokio::time::timeout(moment, send.write_all(&small)).await {
                written += small.len();
                ensure!(written < 4 << 20, "a stranger filled {written} bytes");
            }
            Ok(written)
        })?;
        ensure!(written < 4 << 20, "{written}");
    }
    Ok(Verdict::Capped)
}

fn silence(scene: &mut Scene) -> Result<Verdict> {
    // At each, one says nothing, and one greets and says no more.
    let (mut silent, mut greeted) = (Vec::new(), Vec::new());
    for at in BOTH {
        let whom = scene.address(at)?;
        let (endpoint, connection) = scene.runtime.block_on(raw(&whom, ALPN))?;
        silent.push((endpoint, anyhow::Context::context(connection, "the door opens")?));
        greeted.push(scene.line(at, &STRANGE)?);
    }
    for (_, connection) in &silent {
        over(scene, connection)?;
    }
    for line in greeted {
        line.ends()?;
        line.hang_up();
    }
    Ok(Verdict::Closed)
}

fn present_and_absent(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let line = scene.line(at, &STRANGE)?;
        for folder in [scene.folder, FolderId([9; 32])] {
            for kind in [KeyKind::Device, KeyKind::Member, KeyKind::Invite, KeyKind::Seeder] {
                let begun = Instant::now();
                ensure!(!line.is_let_in(folder, kind, Scene::strange_key(66))?, "{at:?}: {kind:?}");
                ensure!(begun.elapsed() >= Duration::from_millis(REFUSAL_DELAY_MS), "a refusal takes its time");
            }
        }
        ensure!(!line.is_over(), "a few questions are no crime");
        line.hang_up();
    }
    Ok(Verdict::LikeAbsent)
}

fn guesses(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let line = scene.line(at, &STRANGE)?;
        let key = Scene::strange_key(66);
        for half in [0..32u8, 32..64] {
            line.asks_for(half.clone().map(|n| FolderId([n; 32])), &key);
            // The last answer of this half comes after all others of it.
            line.is_let_in(FolderId([100 + half.start; 32]), KeyKind::Device, key.clone())?;
        }
        line.ends()?;
        line.hang_up();
    }
    Ok(Verdict::Closed)
}

fn member_keys(scene: &mut Scene) -> Result<Verdict> {
    for at in BOTH {
        let line = scene.line(at, &STRANGE)?;
        let keys = (1..60).map(Scene::strange_key).collect();
        ensure!(line.finds(keys)?.is_empty(), "{at:?} knows somebody");
        ensure!(line.finds(vec![scene.mallory.device.sig.clone()])?.is_empty(), "a device's key is no member's");
        line.hang_up();
    }
    Ok(Verdict::LikeAbsent)
}

fn spoken_words(scene: &mut Scene) -> Result<Verdict> {
    let nameplate = Nameplate::any(6);
    for at in BOTH {
        let line = scene.line(at, &STRANGE)?;
        ensure!(!line.lays(nameplate, Half([7; 32]))?, "{at:?} keeps a stranger's nameplate");
        let begun = Instant::now();
        let guess = Guess { half: Half([8; 32]), confirmation: Hash([9; 32]) };
        let given = line.guesses(nameplate, guess)?;
        ensure!(given == Some(None), "{at:?}: told as if it lay there, and given nothing: {given:?}");
        ensure!(begun.elapsed() >= Duration::from_millis(MAILBOX_REFUSAL_MS), "a refusal takes its time");
        ensure!(!line.is_over(), "a few questions are no crime");
        line.hang_up();
    }
    Ok(Verdict::LikeAbsent)
}

fn claims(scene: &Scene, offer: (OfferId, [u8; 16])) -> Result<Option<Verdict>> {
    let home = crate::home::Home::number(40)?;
    let ops = home.ops.iter().map(|op| op.bytes().to_vec()).collect();
    let part = LogPart { genesis: home.genesis().to_bytes(), ops, last: true };
    let mut line: Line = scene.line(At::Box, &STRANGE)?;
    let said = line.claims(home.id(), offer, part)?;
    line.hang_up();
    ensure!(said != Some(Ok(())), "it is kept");
    Ok(said.map(|_refused| Verdict::Closed))
}

fn invented_offer(scene: &mut Scene) -> Result<Verdict> {
    let known = scene.used_offer.id;
    for offer in [(OfferId([1; 16]), [2; 16]), (known, [2; 16]), (known, [0; 16])] {
        ensure!(claims(scene, offer)?.is_none(), "who does not know the secret is told nothing");
    }
    Ok(Verdict::LikeAbsent)
}

fn used_offer(scene: &mut Scene) -> Result<Verdict> {
    let Offer { id, secret, .. } = scene.used_offer;
    Ok(claims(scene, (id, secret))?.unwrap_or(Verdict::Closed))
}

fn another_machine(scene: &mut Scene) -> Result<Verdict> {
    // Ana's key at the seeder's address, and the seeder's at Ana's: nobody talks to whom they did not mean.
    for (key, place) in [(At::Ana, At::Box), (At::Box, At::Ana)] {
        let meant = scene.address(key)?;
        let poisoned = EndpointAddrs { addrs: scene.address(place)?.addrs, ..meant };
        ensure!(Line::to(scene.runtime.handle(), &poisoned, &STRANGE).is_err(), "{place:?} passes for {key:?}");
    }
    Ok(Verdict::Closed)
}
