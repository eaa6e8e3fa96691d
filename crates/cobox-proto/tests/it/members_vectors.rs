//! `spec/vectors/ops.json`: the genesis and one op of every kind as bytes, with their ids, and bytes that must be refused with
//! the reason. Rewritten only when `COBOX_BLESS=1` is set.

// Vectors live in files outside the crate.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use cobox_proto::codec::DecodeError;
use cobox_proto::id::{Cid, EpochId, Hash, HeadId, OpId};
use cobox_proto::members::{
    Envelope, EnvelopeList, EpochParams, FolderKind, Genesis, Op, OpBody, OpError, Padding, Policy, Retention, Role,
    SignedOp, Signer,
};
use cobox_proto::sign::SecretKey;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::members_world::{genesis, hpke, pair, person, secret};

fn bodies(founder: OpId) -> Vec<OpBody> {
    let (invite, join) = (OpId([0x11; 32]), OpId([0x22; 32]));
    let cut = vec![HeadId([1; 32]), HeadId([2; 32])];
    let phone = pair("phone");
    let folder = genesis(FolderKind::Folder, Policy::default()).folder_id();
    let proof = phone.prove_device(&secret("phone"), &folder, &founder);
    let joiner = person("joiner");
    let envelopes = EnvelopeList::of(&[Envelope { recipient: Hash([1; 32]), bytes: vec![1, 2, 3] }]);
    vec![
        OpBody::Grant { member: joiner.member_keys(), device: joiner.device_keys(), role: Role::Editor },
        OpBody::Invite {
            sig: secret("seed").public(),
            hpke: hpke("seed"),
            role: Role::Reader,
            max_uses: 3,
            expires_ms: 1_700_000_000_000,
            grant: true,
        },
        OpBody::CancelInvite { invite, at_ms: 1_700_000_000_001 },
        OpBody::Join { invite, member: joiner.member_keys(), device: joiner.device_keys() },
        OpBody::Witness { join, at_ms: 1_699_999_999_999 },
        OpBody::AddDevice { device: phone.clone(), proof },
        OpBody::RemoveDevice { device: phone.sig, cut: cut.clone() },
        OpBody::SetRole { grant: invite, role: Role::Admin, cut: vec![] },
        OpBody::Remove { grant: invite, cut },
        OpBody::SeederGrant {
            seeder: secret("seeder").public(),
            offer_hash: Hash([3; 32]),
            quota_bytes: 1 << 40,
            retention: Retention::default(),
            member_share: 50,
        },
        OpBody::SeederEnd { seeder: join },
        OpBody::Policy { policy: Policy { approve_joins: true, quorum: 2, delay_days: 14 } },
        OpBody::KeyUpdate { grant: founder, keys: pair("next") },
        OpBody::EpochBundle {
            parents: vec![EpochId([4; 32])],
            id: EpochId([5; 32]),
            params: EpochParams { block_ver: 1, suite: 1, codec: 0, padding: Padding::Step4 },
            recipients: envelopes.recipients(),
            envelopes: envelopes.hash(),
            history: vec![6; 64],
        },
        OpBody::EpochGrant {
            epochs: vec![EpochId([4; 32]), EpochId([5; 32])],
            recipient: phone.hpke.id(),
            envelope: Hash([7; 32]),
            member: founder,
        },
        OpBody::Forget {
            at_ms: 1_700_000_000_002,
            states: vec![HeadId([1; 32]).tag(), HeadId([2; 32]).tag()],
            blocks: vec![Cid([8; 32]), Cid([9; 32])],
        },
        OpBody::ForgetEnd { forgets: vec![invite, join] },
    ]
}

/// One op of each kind, and a quorum op.
fn fixtures() -> Vec<(String, SignedOp)> {
    let genesis = genesis(FolderKind::Folder, Policy::default());
    let founder = genesis.op_id();
    let device = secret("founder device");
    let unsigned = |body: OpBody, signers: &[(OpId, &SecretKey)]| Op {
        folder: genesis.folder_id(),
        signers: signers.iter().map(|(grant, key)| Signer { grant: *grant, key: key.public() }).collect(),
        deps: vec![OpId([0x33; 32]), OpId([0x44; 32])],
        body,
        sealed: vec![9; 40],
    };
    let sign = |body: OpBody, signers: &[(OpId, &SecretKey)]| {
        let keys: Vec<&SecretKey> = signers.iter().map(|(_, key)| *key).collect();
        SignedOp::sign(unsigned(body, signers), &keys).unwrap()
    };
    let mut found: Vec<(String, SignedOp)> = bodies(founder)
        .into_iter()
        .map(|body| {
            let name = body.name().to_string();
            let signed = match &body {
                OpBody::Join { invite, .. } => {
                    sign(body.clone(), &[(*invite, &secret("seed")), (OpId::ZERO, &person("joiner").device)])
                }
                OpBody::Witness { .. } => sign(body, &[(OpId([0x55; 32]), &secret("seeder"))]),
                _ => sign(body, &[(founder, &device)]),
            };
            (name, signed)
        })
        .collect();
    let quorum = [(OpId([1; 32]), &secret("admin 1")), (OpId([2; 32]), &secret("admin 2"))];
    found.push(("remove by quorum".into(), sign(OpBody::Remove { grant: founder, cut: vec![] }, &quorum)));
    found
}

/// What is wrong, and signed all the same: form is checked before signatures, so that no signature excuses it.
fn refusals() -> Vec<(&'static str, Vec<u8>)> {
    let fixtures = fixtures();
    let by_name = |name: &str| fixtures.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let founder_key = secret("founder device");
    let change = |name: &str, change: &dyn Fn(&mut Op)| {
        let mut op = by_name(name).op().clone();
        change(&mut op);
        let mut bytes = op.to_bytes();
        for _ in &op.signers {
            bytes.extend(founder_key.sign("op", &op.folder, &op.to_bytes()).0);
        }
        bytes
    };
    let patch = |at: usize, to: u8| {
        let mut bytes = by_name("witness").bytes().to_vec();
        bytes[at] = to;
        bytes
    };
    let mut swapped = by_name("remove by quorum").bytes().to_vec();
    let signatures = swapped.len() - 128;
    swapped[signatures..].rotate_left(64);
    vec![
        ("unknown version", patch(0, 2)),
        ("unknown suite", patch(1, 2)),
        ("unknown kind", patch(34, 18)),
        ("kind zero", patch(34, 0)),
        ("deps not sorted", change("grant", &|op| op.deps.reverse())),
        ("deps twice", change("grant", &|op| op.deps[1] = op.deps[0])),
        ("no deps", change("grant", &|op| op.deps.clear())),
        ("too many deps", change("grant", &|op| op.deps = (0..65).map(|i| OpId([i; 32])).collect())),
        ("no signer", change("grant", &|op| op.signers.clear())),
        ("two signers of a grant", change("grant", &|op| op.signers.push(op.signers[0]))),
        ("quorum not sorted", change("remove by quorum", &|op| op.signers.reverse())),
        ("quorum with one member twice", change("remove by quorum", &|op| op.signers[1].grant = op.signers[0].grant)),
        ("quorum signatures in another order", swapped),
        ("join without its device", change("join", &|op| op.signers.truncate(1))),
        ("join by another invite", change("join", &|op| op.signers[0].grant = OpId([0x12; 32]))),
        ("join with a grant for the new device", change("join", &|op| op.signers[1].grant = OpId([0x12; 32]))),
        ("note too long", change("grant", &|op| op.sealed = vec![0; 513])),
        (
            "cut not sorted",
            change("remove", &|op| {
                if let OpBody::Remove { cut, .. } = &mut op.body {
                    cut.reverse();
                }
            }),
        ),
        (
            "invite for an owner",
            change("invite", &|op| {
                if let OpBody::Invite { role, .. } = &mut op.body {
                    *role = Role::Owner;
                }
            }),
        ),
        (
            "invite without uses",
            change("invite", &|op| {
                if let OpBody::Invite { max_uses, .. } = &mut op.body {
                    *max_uses = 0;
                }
            }),
        ),
        (
            "policy with a quorum of one",
            change("policy", &|op| {
                if let OpBody::Policy { policy } = &mut op.body {
                    policy.quorum = 1;
                }
            }),
        ),
        (
            "share of no percent",
            change("seeder_grant", &|op| {
                if let OpBody::SeederGrant { member_share, .. } = &mut op.body {
                    *member_share = 0;
                }
            }),
        ),
        (
            "epoch for nobody",
            change("epoch_bundle", &|op| {
                if let OpBody::EpochBundle { recipients, .. } = &mut op.body {
                    recipients.clear();
                }
            }),
        ),
        (
            "grant of no epoch",
            change("epoch_grant", &|op| {
                if let OpBody::EpochGrant { epochs, .. } = &mut op.body {
                    epochs.clear();
                }
            }),
        ),
        (
            "forget in no state",
            change("forget", &|op| {
                if let OpBody::Forget { states, .. } = &mut op.body {
                    states.clear();
                }
            }),
        ),
        (
            "forget no block",
            change("forget", &|op| {
                if let OpBody::Forget { blocks, .. } = &mut op.body {
                    blocks.clear();
                }
            }),
        ),
        (
            "forget with blocks not sorted",
            change("forget", &|op| {
                if let OpBody::Forget { blocks, .. } = &mut op.body {
                    blocks.reverse();
                }
            }),
        ),
        (
            "forget with a state twice",
            change("forget", &|op| {
                if let OpBody::Forget { states, .. } = &mut op.body {
                    states[1] = states[0];
                }
            }),
        ),
        (
            "forget too many blocks",
            change("forget", &|op| {
                if let OpBody::Forget { blocks, .. } = &mut op.body {
                    *blocks = (0..257u16).map(|n| Cid([n.to_be_bytes(); 16].concat().try_into().unwrap())).collect();
                }
            }),
        ),
        (
            "end of no forget",
            change("forget_end", &|op| {
                if let OpBody::ForgetEnd { forgets } = &mut op.body {
                    forgets.clear();
                }
            }),
        ),
        (
            "device that did not ask",
            change("add_device", &|op| {
                if let OpBody::AddDevice { device, .. } = &mut op.body {
                    *device = pair("another phone");
                }
            }),
        ),
        ("trailing byte", [by_name("witness").bytes(), &[0]].concat()),
        ("signed by somebody else", {
            let op = by_name("witness").op().clone();
            [op.to_bytes(), founder_key.sign("op", &op.folder, &op.to_bytes()).0.to_vec()].concat()
        }),
        ("signed as another object", {
            let op = by_name("grant").op().clone();
            [op.to_bytes(), founder_key.sign("head", &op.folder, &op.to_bytes()).0.to_vec()].concat()
        }),
    ]
}

/// Bytes that are no genesis.
fn genesis_refusals() -> Vec<(&'static str, Vec<u8>)> {
    let vault = genesis(FolderKind::Vault, Policy::default()).to_bytes();
    let folder = genesis(FolderKind::Folder, Policy::default()).to_bytes();
    let patch = |at: usize, to: u8| {
        let mut bytes = vault.clone();
        bytes[at] = to;
        bytes
    };
    vec![
        ("unknown version", patch(0, 2)),
        ("unknown suite", patch(1, 2)),
        ("unknown kind", patch(2, 2)),
        ("vault without its founder's word", [&vault[..vault.len() - 65], &[0]].concat()),
        ("vault with the word of another", patch(vault.len() - 1, vault[vault.len() - 1] ^ 1)),
        ("cut", folder[..folder.len() - 1].to_vec()),
        ("trailing byte", [&folder[..], &[0]].concat()),
    ]
}

fn vectors() -> Value {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let genesis = |kind| {
        let genesis = genesis(kind, Policy::default());
        json!({ "bytes": hex(&genesis.to_bytes()), "folder": genesis.folder_id().to_string() })
    };
    let ops = fixtures();
    let ops: Vec<Value> = ops
        .iter()
        .map(|(name, op)| json!({ "name": name, "id": op.id().to_string(), "bytes": hex(op.bytes()) }))
        .collect();
    let refused: Vec<Value> = refusals()
        .into_iter()
        .map(|(name, bytes)| {
            let error = SignedOp::from_bytes(&bytes).expect_err(name);
            json!({ "name": name, "bytes": hex(&bytes), "error": error.to_string() })
        })
        .collect();
    let genesis_refused: Vec<Value> = genesis_refusals()
        .into_iter()
        .map(|(name, bytes)| {
            let error = Genesis::from_bytes(&bytes).expect_err(name);
            json!({ "name": name, "bytes": hex(&bytes), "error": error.to_string() })
        })
        .collect();
    json!({
        "genesis_refused": genesis_refused,
        "genesis": { "folder": genesis(FolderKind::Folder), "vault": genesis(FolderKind::Vault) },
        "ops": ops,
        "refused": refused,
    })
}

#[test]
fn ops_are_byte_for_byte_what_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/ops.json");
    if std::env::var_os("COBOX_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let stored: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let bytes = |v: &Value| HEXLOWER.decode(v["bytes"].as_str().unwrap().as_bytes()).unwrap();
    for kind in ["folder", "vault"] {
        let vector = &stored["genesis"][kind];
        let genesis = Genesis::from_bytes(&bytes(vector)).unwrap();
        assert_eq!(genesis.folder_id().to_string(), vector["folder"].as_str().unwrap());
        assert_eq!(genesis.to_bytes(), bytes(vector));
    }
    let mut kinds = std::collections::BTreeSet::new();
    for vector in stored["ops"].as_array().unwrap() {
        let op = SignedOp::from_bytes(&bytes(vector)).unwrap();
        assert_eq!(op.id().to_string(), vector["id"].as_str().unwrap());
        assert!(bytes(vector).starts_with(&op.op().to_bytes()));
        kinds.insert(op.op().body.name());
    }
    assert_eq!(kinds.len(), 17);
    for vector in stored["refused"].as_array().unwrap() {
        let error = SignedOp::from_bytes(&bytes(vector)).expect_err(vector["name"].as_str().unwrap());
        assert_eq!(error.to_string(), vector["error"].as_str().unwrap(), "{}", vector["name"]);
    }
    for vector in stored["genesis_refused"].as_array().unwrap() {
        let error = Genesis::from_bytes(&bytes(vector)).expect_err(vector["name"].as_str().unwrap());
        assert_eq!(error.to_string(), vector["error"].as_str().unwrap(), "{}", vector["name"]);
    }
    assert_eq!(stored, vectors(), "the writer writes what the vectors hold");
}

#[test]
fn i1_every_cut_and_every_flipped_bit_of_every_op_is_refused() {
    for (name, signed) in fixtures() {
        assert_eq!(SignedOp::from_bytes(signed.bytes()).as_ref(), Ok(&signed));
        for cut in 0..signed.bytes().len() {
            assert!(SignedOp::from_bytes(&signed.bytes()[..cut]).is_err(), "{name} cut at {cut}");
        }
        for bit in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedOp::from_bytes(&bytes).is_err(), "{name} bit {bit}");
        }
    }
}

#[test]
fn i1_every_cut_and_every_flipped_bit_of_a_vaults_genesis_is_refused_and_a_folders_gives_another_folder() {
    let vault = genesis(FolderKind::Vault, Policy::default());
    let folder = genesis(FolderKind::Folder, Policy::default());
    for bit in 0..vault.to_bytes().len() * 8 {
        let mut bytes = vault.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Genesis::from_bytes(&bytes).is_err(), "bit {bit}");
    }
    for (bit, bytes) in (0..folder.to_bytes().len() * 8).map(|bit| (bit, folder.to_bytes())) {
        let mut bytes = bytes;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Genesis::from_bytes(&bytes).map_or(true, |g| g.folder_id() != folder.folder_id()), "bit {bit}");
    }
    for bytes in [vault.to_bytes(), folder.to_bytes()] {
        assert!((0..bytes.len()).all(|cut| Genesis::from_bytes(&bytes[..cut]).is_err()));
    }
}

#[test]
fn i3_huge_claimed_lengths_are_refused_before_anything_is_allocated() {
    let (_, op) = fixtures().swap_remove(0);
    // The count of signers stands after version, suite, folder and kind.
    let mut bytes = op.bytes()[..35].to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    let refused = SignedOp::from_bytes(&bytes);
    assert!(matches!(refused, Err(OpError::Malformed(DecodeError::TooLarge { what: "op signers", .. }))));
    let huge = vec![1; cobox_proto::limits::OP_BYTES_MAX + 1];
    assert!(matches!(SignedOp::from_bytes(&huge), Err(OpError::Malformed(DecodeError::TooLarge { what: "op", .. }))));
}
