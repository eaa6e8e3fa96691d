//! What a long log costs. Times are printed, not asserted (machines differ); that it ends at all is the assertion: anything
//! exponential or quadratic in the log would not.

// The pure crate knows no clock; its test may look at one.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::time::Instant;

use cobox_proto::members::{Log, OpBody, Policy, Role, SignedOp, resolve};

use crate::members_world::{Dice, World, remove};

fn replay(name: &str, world: &World) {
    let ops: Vec<SignedOp> = world.log.ops().cloned().collect();
    let started = Instant::now();
    let mut log = Log::new(world.log.genesis().clone());
    for op in ops {
        log.add(op).unwrap();
    }
    let added = started.elapsed();
    let started = Instant::now();
    let roster = resolve(&log);
    let first = started.elapsed();
    // From scratch: nobody has asked for this frontier of a log that came in one piece.
    let deps: Vec<_> = log.get(&log.frontier()[0]).unwrap().op().deps.clone();
    let started = Instant::now();
    let before = cobox_proto::members::resolve_at(&log, &deps).unwrap();
    println!(
        "{name}: {} ops, added in {added:?}, resolved in {first:?}, its past in {:?}",
        log.len(),
        started.elapsed()
    );
    assert!(roster.members().count() > 0 && before.members().count() > 0);
}

#[test]
fn a_thousand_ops_resolve_in_milliseconds() {
    let mut line = World::new();
    for i in 0..1000 {
        let founder = line.founder;
        let id = line.grant_now(founder, Role::Admin);
        if i % 2 == 0 {
            line.remove_now(founder, id);
        }
    }
    replay("one line", &line);

    let (mut tangle, mut dice) = (World::new(), Dice::new(1));
    let mut admins = vec![tangle.founder];
    let mut tips = [tangle.founder; 3];
    for i in 0..1000 {
        let lane = dice.below(3);
        let seen = if dice.chance(30) { vec![tips[lane], tips[dice.below(3)]] } else { vec![tips[lane]] };
        let author = tangle.founder;
        let view = tangle.closed(&seen);
        let id = if i % 3 == 0 {
            let target = dice.pick(&admins);
            tangle.by(&view, &[author], remove(target))
        } else {
            tangle.grant(&view, author, Role::Admin)
        };
        admins.push(id);
        tips[lane] = id;
    }
    replay("three lanes for ever entangled", &tangle);
}

#[test]
fn a_long_quiet_log_costs_no_more_per_op_than_a_short_one() {
    let mut world = World::new();
    for i in 0..6000u16 {
        let policy = Policy { delay_days: i, ..Policy::default() };
        let key = world.people[&world.founder].device.clone();
        world.raw(world.log.frontier(), &[(world.founder, &key)], OpBody::Policy { policy });
    }
    replay("policies", &world);
    assert_eq!(world.roster().policy().delay_days, 5999);
}
