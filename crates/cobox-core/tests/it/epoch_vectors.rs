//! `epoch.json`: the secrets of a folder as they are handed on, in the envelopes of a bundle and of a grant, with the log they belong
//! to; envelopes that open nothing.

use cobox_core::keys::DeviceSecret;
use cobox_core::members::open_epochs;
use cobox_proto::id::Hash;
use cobox_proto::members::{Envelope, Genesis, Log, SignedOp, resolve};
use serde_json::{Value, json};

use crate::cast::{Folder, Person};
use crate::vector_file::{check, hex, list, text, unhex};

fn envelopes(all: &[Envelope]) -> Value {
    all.iter().map(|e| json!({ "recipient": e.recipient.to_string(), "bytes": hex(&e.bytes) })).collect()
}

fn made() -> Value {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let bundle = folder.envelopes.clone();
    let code = folder.invites(&alice, true);
    let grant = folder.envelopes[bundle.len()..].to_vec();
    assert!(open_epochs(&folder.log, &folder.roster(), &grant, &[&code.secret().hpke], None).keys.is_some());
    folder.joins(&mut bob, &code, "Bob", &alice);
    let mut changed = bundle.clone();
    changed.iter_mut().for_each(|e| *e.bytes.last_mut().unwrap() ^= 1);
    let mut another_kem = bundle.clone();
    another_kem.iter_mut().for_each(|e| e.bytes[0] ^= 1);
    let mut cut = bundle.clone();
    cut.iter_mut().for_each(|e| e.bytes.truncate(e.bytes.len() - 1));
    let mut of_a_grant = grant.clone();
    of_a_grant.iter_mut().for_each(|e| e.recipient = alice.device.public().hpke.id());
    json!({
        "device_seed": hex([1; 32]),
        "invite_seed": hex([101; 16]),
        "genesis": hex(folder.log.genesis().to_bytes()),
        "ops": folder.log.ops().map(|op| hex(op.bytes())).collect::<Vec<_>>(),
        "epoch": folder.roster().writable_epoch().unwrap().to_string(),
        "keys_as_stored": hex(&*alice.keys().to_storage()),
        "bundle": envelopes(&bundle),
        "grant": envelopes(&grant),
        "refused": [
            { "name": "a changed byte", "envelopes": envelopes(&changed) },
            { "name": "an unknown way of sealing", "envelopes": envelopes(&another_kem) },
            { "name": "cut", "envelopes": envelopes(&cut) },
            { "name": "sealed to another key", "envelopes": envelopes(&of_a_grant) },
        ],
    })
}

fn read(value: &Value) -> Vec<Envelope> {
    let hash = |value: &Value| Hash(unhex(value).try_into().unwrap());
    list(value).iter().map(|e| Envelope { recipient: hash(&e["recipient"]), bytes: unhex(&e["bytes"]) }).collect()
}

#[test]
fn envelopes_are_as_written_down_and_changed_ones_open_nothing() {
    let file = check("epoch", made());
    let mut log = Log::new(Genesis::from_bytes(&unhex(&file["genesis"])).unwrap());
    for op in list(&file["ops"]) {
        log.add(SignedOp::from_bytes(&unhex(op)).unwrap()).unwrap();
    }
    let roster = resolve(&log);
    assert_eq!(roster.writable_epoch().unwrap().to_string(), text(&file["epoch"]));
    let seed: [u8; 32] = unhex(&file["device_seed"]).try_into().unwrap();
    let device = DeviceSecret::from_seed(&seed);
    let opens = |envelopes: &Value| open_epochs(&log, &roster, &read(envelopes), &[&device.hpke], None).keys;
    assert_eq!(hex(&*opens(&file["bundle"]).unwrap().to_storage()), text(&file["keys_as_stored"]));
    for case in list(&file["refused"]) {
        assert!(opens(&case["envelopes"]).is_none(), "{}", text(&case["name"]));
    }
}
