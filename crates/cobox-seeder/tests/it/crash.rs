//! The program itself, killed while it keeps a folder.

use std::net::SocketAddr;

use cobox_net::EndpointAddrs;
use cobox_proto::hosting::{Holding, Offer};
use cobox_proto::id::SigKey;

use crate::device::{Device, Line};
use crate::folder::Folder;
use crate::place::Place;
use crate::upkeep::damage;

fn addrs(offer: &Offer) -> EndpointAddrs {
    let addrs: Vec<SocketAddr> = offer.ticket.addresses.iter().filter_map(|address| address.socket()).collect();
    EndpointAddrs { key: SigKey(offer.ticket.endpoint.0), addrs, relays: vec![] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k7_what_was_receipted_is_there_after_a_kill_at_the_same_address() {
    let place = Place::new();
    place.up();
    let printed = place.run(&["offer", "--space", "1GB", "--json"]).json();
    let offer = Offer::from_text(printed["offer"].as_str().unwrap()).unwrap();
    let mut folder = Folder::new(1);
    folder.hire(&offer);
    let mut line = Line::to(&addrs(&offer)).await;
    assert_eq!(line.claim(folder.id(), &offer, &folder.parts()).await, Some(Ok(())));
    let mut ana = Device::on(line, &folder, 1).await;
    let tree = folder.tree(1, 5000);
    let head = folder.head(None, &tree);
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;
    place.crash();
    drop(ana);

    assert_eq!(place.run(&["up"]).code, Some(0));
    let mut ana = Device::open(&folder, 1, &addrs(&offer)).await;
    ana.until_held(&head.id(), Holding::Complete).await;
    ana.want(tree.blocks.keys().copied().collect());
    ana.until(|ana| ana.got.len() == tree.blocks.len()).await;
    assert_eq!(ana.got, tree.blocks);

    let rows = place.run(&["folders", "--json"]).json();
    let row = rows["folders"][0].as_object().unwrap();
    for key in ["id", "kind", "label", "used_bytes", "quota_bytes", "complete", "head_at", "blocks", "members"] {
        assert!(row.contains_key(key), "{key}");
    }
    assert_eq!((row["kind"].as_str(), row["complete"].as_bool()), (Some("folder"), Some(true)));
    let (id, human) = (folder.id().to_string(), place.run(&["folders"]));
    assert!(human.out.contains(&id[..8]) && human.out.contains("complete"), "{human:?}");
    assert_eq!(place.run(&["show", &id[..6], "--json"]).json()["folder"]["id"], id);
    assert!(place.run(&["show", &id]).out.contains(&id));

    assert_eq!(place.run(&["check"]).code, Some(0));
    damage(&place.root(), &tree, &tree.chunk());
    let report = place.run(&["check", "--json"]);
    assert_eq!(report.json_error(), (3, "damage_found".into()), "s10");
    let found: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(found["damaged"][0]["block"], tree.chunk().to_string());
    ana.publish(&tree, &head);
    ana.asked.clear();
    assert_eq!(place.run(&["check", "--repair"]).code, Some(3));
    ana.until(|ana| ana.asked.contains(&tree.chunk())).await;

    let dry = place.run(&["drop", &id, "--dry-run", "--json"]).json();
    assert_eq!((dry["dropped"].as_bool(), dry["folder"]["id"].as_str()), (Some(false), Some(&*id)));
    assert_eq!(dry["may_be_last"], true);
    assert_eq!(place.run(&["drop", &id]).code, Some(2), "nobody can be asked");
    for args in [&["drop", &id, "--yes", "--json"][..], &["drop", &id, "--json"]] {
        assert_eq!(place.run(args).json_error(), (5, "last_copy".into()), "a6");
    }
    assert_eq!(place.run(&["folders", "--json"]).json()["folders"].as_array().unwrap().len(), 1, "it is all there");
    assert_eq!(place.run(&["drop", &id, "--yes", "--even-the-last-copy"]).code, Some(0));
    assert_eq!(place.run(&["drop", &id, "--json"]).json_error(), (6, "folder_not_found".into()));
    assert_eq!(place.run(&["folders", "--json"]).json()["folders"].as_array().unwrap().len(), 0);
}
