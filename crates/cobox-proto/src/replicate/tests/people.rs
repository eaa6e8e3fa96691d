//! People and devices that are sent away while not everybody hears of it: the same must come out at everybody's, members' and seeder's
//! alike, in whatever order it comes.

use super::*;

/// What one party makes of it all: the heads that count, those held aside and those refused; and who belongs to the folder.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    counting: BTreeSet<HeadId>,
    aside: BTreeSet<HeadId>,
    refused: BTreeSet<HeadId>,
    roster: crate::members::Roster,
}

#[derive(Clone)]
enum Piece {
    Op(SignedOp),
    Head(SignedHead),
}

/// Gives a replica the pieces in this order.
fn outcome(mut replica: Replica, pieces: &[Piece]) -> Outcome {
    let mut told = BTreeSet::new();
    for piece in pieces {
        let input = match piece.clone() {
            Piece::Op(op) => Input::LocalOps { ops: vec![op], envelopes: vec![] },
            Piece::Head(head) => {
                told.insert(head.id());
                Input::LocalHead(Box::new(head))
            }
        };
        replica.handle(0, input);
        while replica.poll_output().is_some() {}
    }
    let heads = replica.heads();
    let (counting, rest): (BTreeSet<_>, BTreeSet<_>) = told.into_iter().partition(|head| heads.counts(head));
    let (aside, rest): (BTreeSet<_>, BTreeSet<_>) = rest.into_iter().partition(|head| heads.get(head).is_some());
    assert!(rest.iter().all(|head| heads.refusal(head).is_some()), "nothing waits");
    Outcome { counting, aside, refused: rest, roster: replica.membership().roster().clone() }
}

/// Bob's laptop was taken away. From his phone he sends it away; the thief writes on, and does as if it were still before that: ops, and
/// heads that rest on what was known then, and on what the thief wrote.
#[test]
fn m2_what_a_removed_device_dates_back_is_void_or_held_aside_alike_in_every_order() {
    let mut folder = Folder::of(&[2, 3]);
    let (bob, laptop, phone) = (resolve(&folder.log).device(&key(2).public()).unwrap().1.grant, 22, 2);
    let certify = |folder: &mut Folder, by: u8, n: u8| {
        let proof = pair(n).prove_device(&key(n), &folder.id(), &bob);
        folder.write(bob, &key(by), OpBody::AddDevice { device: pair(n), proof }).id()
    };
    certify(&mut folder, phone, laptop);
    let known = folder.ops.len();
    let base = folder.fork();
    let seen = folder.head(laptop, None, &[], cid(1));

    let mut thief = folder.fork();
    let unseen = thief.head(laptop, Some(&seen), &[], cid(2));
    let certified = certify(&mut thief, laptop, 23);
    let by_another = thief.head(23, None, &[], cid(3));
    let on_top = thief.head(laptop, Some(&unseen), &[&by_another], cid(4));

    folder.write(bob, &key(phone), OpBody::RemoveDevice { device: key(laptop).public(), cut: vec![seen.id()] });
    let carols = folder.head(3, None, &[&seen], cid(5));
    let after = folder.fork().head(laptop, Some(&seen), &[], cid(6));

    let ops = folder.ops[known..].iter().chain(&thief.ops[known..]).cloned().map(Piece::Op);
    let heads = [&seen, &unseen, &by_another, &on_top, &carols, &after].into_iter().cloned().map(Piece::Head);
    let mut pieces: Vec<Piece> = ops.chain(heads).collect();
    let mut dice = Net::new(3);
    let mut first: Option<Outcome> = None;
    for _ in 0..400 {
        for n in (1..pieces.len()).rev() {
            let other = dice.roll(n + 1);
            pieces.swap(n, other);
        }
        let found = outcome(base.replica(), &pieces);
        assert_eq!(found.counting, BTreeSet::from([seen.id(), carols.id()]));
        assert_eq!(found.aside, BTreeSet::from([unseen.id(), by_another.id(), on_top.id()]), "shown, and not lost");
        assert_eq!(found.refused, BTreeSet::from([after.id()]), "who knows that it was sent away may not write");
        assert!(!found.roster.accepted(&certified) && !found.roster.can_write(&key(23).public()));
        assert!(found.roster.can_write(&key(phone).public()));
        match &first {
            Some(first) => assert_eq!(&found, first),
            None => first = Some(found),
        }
    }
}

/// Alice's, Bob's and Carol's devices and a seeder; all three are admins, in this order.
fn three_admins(seed: u64) -> (Folder, Net) {
    let mut folder = Folder::of(&[]);
    let founder = folder.log.genesis().op_id();
    for n in [2, 3] {
        folder.write(founder, &key(1), OpBody::Grant { member: pair(100 + n), device: pair(n), role: Role::Admin });
    }
    folder.epoch();
    let mut net = Net::new(seed);
    for who in [device(1), device(2), device(3), seeder(50)] {
        net.join(who, folder.replica());
    }
    (folder, net)
}

/// Writes an op that has no right by what its author knows: a program would refuse to, and who changed it need not.
fn try_to(folder: &mut Folder, grant: OpId, by: &SecretKey, body: OpBody) -> SignedOp {
    let signers = vec![Signer { grant, key: by.public() }];
    let op = Op { folder: folder.id(), signers, deps: folder.log.frontier(), body, sealed: vec![] };
    let signed = SignedOp::sign(op, &[by]).unwrap();
    folder.log.add(signed.clone()).unwrap();
    folder.ops.push(signed.clone());
    signed
}

/// Nobody hears of anybody. Bob sends Carol away, and Carol Bob; each writes on. The seeder hears of one of the two first, Alice of the
/// other. Then all meet.
#[test]
fn m3_two_admins_who_send_each_other_away_in_both_orders_on_three_devices_and_a_seeder_leave_the_senior() {
    for seed in 0..12 {
        for (first_at_seeder, first_at_alice) in [(1, 2), (2, 1), (1, 1), (2, 2)] {
            let (folder, mut net) = three_admins(seed);
            let grant_of = |n: u8| resolve(&folder.log).device(&key(n).public()).unwrap().1.grant;
            let (bob, carol) = (grant_of(2), grant_of(3));
            let known = folder.ops.len();
            let (mut at_bob, mut at_carol) = (folder.fork(), folder.fork());
            try_to(&mut at_bob, bob, &key(2), OpBody::Remove { grant: carol, cut: vec![] });
            try_to(&mut at_bob, bob, &key(2), OpBody::Grant { member: pair(104), device: pair(4), role: Role::Editor });
            let void = try_to(&mut at_carol, carol, &key(3), OpBody::Remove { grant: bob, cut: vec![] });
            try_to(
                &mut at_carol,
                carol,
                &key(3),
                OpBody::Grant { member: pair(105), device: pair(5), role: Role::Admin },
            );
            for (party, side) in [(1, &at_bob), (2, &at_carol)] {
                let ops = side.ops[known..].to_vec();
                net.tell(party, Input::LocalOps { ops, envelopes: vec![] });
            }
            let heads = [folder.head(2, None, &[], cid(1)), folder.head(3, None, &[], cid(2))];
            for (party, head) in [1, 2].into_iter().zip(&heads) {
                net.publish(party, head);
            }
            net.connect(first_at_seeder, 3);
            net.connect(first_at_alice, 0);
            net.settle();
            net.cut(first_at_seeder, 3);
            net.cut(first_at_alice, 0);
            // All meet; those who are sent away on the way are told by whoever they call next.
            for _ in 0..3 {
                for (a, b) in [(0, 3), (1, 3), (2, 3), (0, 1), (0, 2), (1, 2)] {
                    let (a_in, b_in) = (net.lets_in(b, a), net.lets_in(a, b));
                    if a_in && b_in {
                        net.connect(a, b);
                        net.settle();
                    } else if b_in || a_in {
                        let (out, by) = if a_in { (b, a) } else { (a, b) };
                        let told = net.parties[by].replica.removal_of(&net.parties[out].who);
                        let device = net.key(out);
                        net.tell(out, Input::ToldRemoved { device, told });
                        net.settle();
                    }
                    net.cut(a, b);
                }
            }
            let alices = net.parties[0].replica.membership().roster().clone();
            for party in [1, 3] {
                assert_eq!(*net.parties[party].replica.membership().roster(), alices, "party {party}, seed {seed}");
                assert_eq!(net.heads(party), net.heads(0), "party {party}, seed {seed}");
            }
            let admins: Vec<OpId> = alices.members().filter(|m| m.role >= Role::Admin).map(|m| m.grant).collect();
            assert_eq!(admins, [folder.log.genesis().op_id(), bob], "Bob was there before Carol");
            assert!(
                !alices.accepted(&void.id())
                    && alices.can_write(&key(4).public())
                    && !alices.can_write(&key(5).public())
            );
            let hers = net.parties[2].replica.membership();
            assert!(!hers.is_device(&key(3).public()), "Carol knows it herself, seed {seed}");
            let counts = |party: usize, n: usize| net.parties[party].replica.heads().counts(&heads[n].id());
            for party in [0, 1, 3] {
                assert!(counts(party, 0) && !counts(party, 1), "party {party}");
            }
        }
    }
}
