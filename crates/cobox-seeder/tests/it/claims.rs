//! How a folder comes to a seeder, and how it does not.

use cobox_proto::hosting::Offer;
use cobox_proto::wire::{ClaimRefusal, LogPart};

use crate::device::{Device, Line};
use crate::folder::Folder;
use crate::{Host, soon};

const SPACE: u64 = 1 << 30;

async fn claim(host: &Host, folder: &Folder, offer: &Offer) -> Option<Result<(), ClaimRefusal>> {
    let mut line = Line::to(&host.seeder.addrs()).await;
    line.claim(folder.id(), offer, &folder.parts()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_hosts_one_folder_and_never_another() {
    let host = Host::new().await;
    let offer = host.offer(SPACE);
    let (mut ours, mut theirs) = (Folder::new(1), Folder::new(2));
    ours.hire(&offer);
    theirs.hire(&offer);
    assert_eq!(claim(&host, &ours, &offer).await, Some(Ok(())));
    assert_eq!(claim(&host, &theirs, &offer).await, Some(Err(ClaimRefusal::Used)));
    assert_eq!(claim(&host, &ours, &offer).await, Some(Ok(())), "again is no other");
    let host = host.restart().await;
    assert_eq!(claim(&host, &theirs, &offer).await, Some(Err(ClaimRefusal::Used)), "and over restarts");
    host.pass_ms(2 * 3_600_000);
    assert_eq!(claim(&host, &ours, &offer).await, Some(Ok(())), "its own folder may claim it after its date");
    let rows = host.seeder.folders().await;
    assert_eq!((rows.len(), rows[0].id.clone(), rows[0].label.as_str()), (1, ours.id().to_string(), "choir"));
    assert_eq!((rows[0].quota_bytes, rows[0].members, rows[0].complete), (SPACE, 1, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_claimed_can_go_on_as_a_device() {
    let host = Host::new().await;
    let offer = host.offer(SPACE);
    let mut folder = Folder::new(1);
    folder.hire(&offer);
    let mut line = Line::to(&host.seeder.addrs()).await;
    assert_eq!(line.claim(folder.id(), &offer, &folder.parts()).await, Some(Ok(())));
    assert!(Device::on(line, &folder, 1).await.is_inside());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_offer_is_refused_and_says_so() {
    let host = Host::new().await;
    let offer = host.offer(SPACE);
    let mut folder = Folder::new(1);
    folder.hire(&offer);
    host.pass_ms(3_600_001);
    assert_eq!(claim(&host, &folder, &offer).await, Some(Err(ClaimRefusal::Expired)));
    assert!(host.seeder.folders().await.is_empty());
    assert_eq!(host.seeder.status().await.open_offers, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x13_who_does_not_know_the_secret_gets_nowhere() {
    let host = Host::new().await;
    let offer = host.offer(SPACE);
    let mut folder = Folder::new(1);
    folder.hire(&offer);
    let guessed = Offer { secret: [0; 16], ..offer.clone() };
    let unknown = Offer { id: cobox_proto::id::OfferId([9; 16]), ..offer };
    for wrong in [guessed, unknown] {
        assert_eq!(claim(&host, &folder, &wrong).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_a_log_that_does_not_name_this_seeder_or_asks_for_more_is_refused() {
    let host = Host::new().await;
    let (offer, other) = (host.offer(SPACE), host.offer(SPACE));
    let stranger = Folder::new(1);
    assert_eq!(claim(&host, &stranger, &offer).await, Some(Err(ClaimRefusal::NotGranted)));
    let mut swapped = Folder::new(2);
    swapped.hire(&other);
    assert_eq!(claim(&host, &swapped, &offer).await, Some(Err(ClaimRefusal::NotGranted)), "another offer's hash");
    let mut greedy = Folder::new(3);
    greedy.hire_for(&offer, SPACE + 1);
    assert_eq!(claim(&host, &greedy, &offer).await, Some(Err(ClaimRefusal::NotGranted)));
    assert!(host.seeder.folders().await.is_empty());
    let mut honest = Folder::new(4);
    honest.hire(&offer);
    assert_eq!(claim(&host, &honest, &offer).await, Some(Ok(())), "refusals use nothing up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_log_is_refused_and_leaves_nothing() {
    let host = Host::new().await;
    let offer = host.offer(SPACE);
    let mut folder = Folder::new(1);
    folder.hire(&offer);
    let [first, second] = folder.parts();
    let gap = LogPart { ops: second.ops[second.ops.len() - 1..].to_vec(), ..second.clone() };
    let other = Folder::new(2).parts()[0].clone();
    let garbage = LogPart { ops: vec![vec![7; 100]], ..first.clone() };
    let hollow = LogPart { ops: vec![], ..first.clone() };
    for log in [vec![hollow, gap], vec![other], vec![garbage], vec![first.clone(), first]] {
        let mut line = Line::to(&host.seeder.addrs()).await;
        assert_eq!(line.claim(folder.id(), &offer, &log).await, Some(Err(ClaimRefusal::BadLog)));
    }
    let host = host.restart().await;
    assert!(host.seeder.folders().await.is_empty());
    assert_eq!(
        std::fs::read_dir(host.dir.path().join("state"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().is_dir())
            .count(),
        0
    );
    assert_eq!(claim(&host, &folder, &offer).await, Some(Ok(())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_offer_for_a_hosted_folder_gives_it_more_room() {
    let host = Host::new().await;
    let (small, large) = (host.offer(SPACE), host.offer(2 * SPACE));
    let mut folder = Folder::new(1);
    folder.hire(&small);
    assert_eq!(claim(&host, &folder, &small).await, Some(Ok(())));
    folder.hire(&large);
    assert_eq!(claim(&host, &folder, &large).await, Some(Ok(())));
    soon(async {
        while host.seeder.folders().await[0].quota_bytes != 2 * SPACE {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let host = host.restart().await;
    assert_eq!(host.seeder.folders().await[0].quota_bytes, 2 * SPACE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_says_where_the_seeder_is_and_the_port_stays() {
    let host = Host::new().await;
    let (offer, addrs) = (host.offer(SPACE), host.seeder.addrs());
    assert_eq!(offer.ticket.endpoint.0, addrs.key.0);
    let told: Vec<_> = offer.ticket.addresses.iter().filter_map(|address| address.socket()).collect();
    assert_eq!(told, addrs.addrs);
    assert!(told.last().unwrap().ip().is_loopback());
    assert!(
        !format!("{:?}{:?}", host.seeder, offer)
            .contains(&offer.secret.iter().map(|b| format!("{b:02x}")).collect::<String>())
    );
    let dir = host.dir.path().to_owned();
    let Host { seeder, dir: _dir, .. } = host;
    seeder.shutdown().await;
    drop(seeder);
    let home = cobox_seeder::Home::resolve(Some(&dir), |_| None).unwrap();
    let again = cobox_seeder::Seeder::start(&home, cobox_seeder::StartOptions::default()).await.unwrap();
    assert_eq!(again.addrs(), addrs, "the kept address");
    again.shutdown().await;
}
