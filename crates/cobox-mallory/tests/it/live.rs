//! Mallory at the shipped programs: Ana, Ben and a seeder run; she calls them with the keys that her role truly has. The programs lie beside
//! this test: testing the workspace builds them, and they are built here if they are not there.

use std::process::Command;

use cobox_mallory::{Role, Scene, scripts};
use cobox_storm::Programs;

fn programs() -> Programs {
    let test = std::env::current_exe().expect("a test has a place");
    let dir = test.parent().and_then(|deps| deps.parent()).expect("tests lie in deps");
    let programs = Programs { cobox: dir.join("cobox"), seeder: dir.join("cobox-seeder") };
    if !programs.cobox.is_file() || !programs.seeder.is_file() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "cobox", "--bin", "cobox-seeder"]);
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.is_ok_and(|status| status.success()), "the programs can not be built");
    }
    programs
}

/// Plays every script of this role against one scene, one after the other.
fn play_all(role: Role) {
    let mut scene = Scene::set_up(&programs()).unwrap_or_else(|why| panic!("{why:#}"));
    for script in scripts().into_iter().filter(|script| script.role == role) {
        if let Some(Err(why)) = script.play_live(&mut scene) {
            panic!("{} {}: {why:#}", script.case, script.name);
        }
    }
}

#[test]
fn x1_to_x7_x9_x10_x13_m10_n6_t3_s1_a_malicious_member_at_running_programs() {
    play_all(Role::Member);
}

#[test]
fn s1_s3_to_s5_s7_to_s12_n9_a_malicious_seeder_at_running_members() {
    play_all(Role::Seeder);
}

#[test]
fn g1_to_g6_a_stranger_at_running_programs() {
    play_all(Role::Stranger);
}
