//! A member's vault beside a folder.

use cobox_proto::hosting::{Holding, Offer};
use cobox_proto::limits::VAULT_BYTES_MAX;
use cobox_proto::members::FolderKind;
use cobox_proto::wire::{ClaimRefusal, Message};
use cobox_seeder::dto::Kind;

use crate::device::{Device, Line};
use crate::folder::{Folder, key};
use crate::hosting::hosted;
use crate::{Host, soon};

/// A vault whose owner asks the seeder of an offer to keep it.
fn vault(nonce: u8, offer: &Offer, quota_bytes: u64) -> Folder {
    let mut vault = Folder::of_kind(FolderKind::Vault, nonce);
    vault.hire_for(offer, quota_bytes);
    vault
}

async fn attach(device: &mut Device, vault: &Folder) -> Result<(), ClaimRefusal> {
    vault.parts().into_iter().for_each(|part| device.peer().send(Message::AttachVault(part)));
    loop {
        match device.line.message().await {
            Message::VaultAttached => return Ok(()),
            Message::VaultRefused(why) => return Err(why),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_keeps_one_vault_at_a_seeder_of_its_folder() {
    let host = Host::new().await;
    let (folder, offer) = hosted(&host, &[], 1 << 30).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let ours = vault(7, &offer, VAULT_BYTES_MAX);
    assert_eq!(attach(&mut ana, &ours).await, Ok(()));
    assert_eq!(attach(&mut ana, &ours).await, Ok(()), "again is no other");
    assert_eq!(attach(&mut ana, &vault(8, &offer, VAULT_BYTES_MAX)).await, Err(ClaimRefusal::VaultRefused));

    let mut at_vault = Device::open(&ours, 1, &host.seeder.addrs()).await;
    let tree = ours.tree(1, 100);
    let head = ours.head(None, &tree);
    at_vault.publish(&tree, &head);
    at_vault.until_held(&head.id(), Holding::Complete).await;
    let host = host.restart().await;
    let rows = host.seeder.folders().await;
    assert_eq!(rows.iter().filter(|row| row.kind == Kind::Vault && row.complete).count(), 1);
    let line = Line::to(&host.seeder.addrs()).await;
    let mut found = soon(line.opener.find(vec![key(101)])).await;
    found.sort_by_key(|found| found.vault);
    assert_eq!(
        found.iter().map(|found| (found.folder, found.vault)).collect::<Vec<_>>(),
        [(folder.id(), false), (ours.id(), true)]
    );

    host.seeder.drop_folder(&folder.id().to_string()).await.unwrap();
    assert!(host.seeder.folders().await.is_empty(), "the vault goes with the folder beside which it lies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_what_is_no_small_vault_of_one_s_own_is_refused() {
    let host = Host::new().await;
    let (folder, offer) = hosted(&host, &[], 1 << 30).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let large = vault(7, &offer, VAULT_BYTES_MAX + 1);
    assert_eq!(attach(&mut ana, &large).await, Err(ClaimRefusal::VaultRefused));
    let mut second = Folder::new(8);
    second.hire_for(&offer, VAULT_BYTES_MAX);
    assert_eq!(attach(&mut ana, &second).await, Err(ClaimRefusal::VaultRefused), "a folder is no vault");
    let unhired = Folder::of_kind(FolderKind::Vault, 9);
    assert_eq!(attach(&mut ana, &unhired).await, Err(ClaimRefusal::NotGranted));
    assert_eq!(host.seeder.folders().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_is_charged_to_the_offer_of_the_folder_beside_which_it_lies() {
    let host = Host::new().await;
    let room = 2 << 20;
    let (folder, offer) = hosted(&host, &[], room).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let ours = vault(7, &offer, VAULT_BYTES_MAX);
    assert_eq!(attach(&mut ana, &ours).await, Ok(()));
    let mut at_vault = Device::open(&ours, 1, &host.seeder.addrs()).await;
    let tree = ours.tree(1, 100_000);
    let head = ours.head(None, &tree);
    at_vault.publish(&tree, &head);
    at_vault.until_held(&head.id(), Holding::Complete).await;
    assert_eq!(host.seeder.status().await.space_bytes, room, "no more is promised than was offered");

    // Nor does a restart forget it, whichever is read first.
    let host = host.restart().await;
    let vault_is_read =
        async { while !host.seeder.folders().await.iter().any(|row| row.kind == Kind::Vault && row.complete) {} };
    soon(vault_is_read).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let (small, large) = (folder.tree(1, 1000), folder.tree(2, 100_000));
    let first = folder.head(None, &small);
    ana.publish(&small, &first);
    ana.until_held(&first.id(), Holding::Complete).await;
    let receipt = ana.receipts.iter().find(|receipt| receipt.head == first.id()).unwrap();
    assert_eq!(receipt.free_bytes, room - tree.bytes() - small.bytes());
    let second = folder.head(Some(&first), &large);
    ana.publish(&large, &second);
    ana.until_held(&second.id(), Holding::NoRoom).await;
}
