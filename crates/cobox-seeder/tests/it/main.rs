//! Seeders with real endpoints on loopback, met by a hand-made member; and the program itself in a sealed environment.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, helpers included")]

mod claims;
mod cli;
mod crash;
mod device;
mod folder;
mod hosting;
mod place;
mod strangers;
mod upkeep;
mod vaults;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cobox_proto::hosting::Offer;
use cobox_seeder::{Clock, Home, OfferTerms, Seeder, StartOptions};

/// Nothing here takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this should not take so long")
}

/// A seeder in this process, whose clock can be moved on.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) seeder: Seeder,
    ahead_ms: Arc<AtomicU64>,
}

impl Host {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let seeder = start(&dir, &ahead_ms).await;
        Self { dir, seeder, ahead_ms }
    }

    pub(crate) async fn restart(self) -> Self {
        let Self { dir, seeder, ahead_ms } = self;
        seeder.shutdown().await;
        drop(seeder);
        let seeder = start(&dir, &ahead_ms).await;
        Self { dir, seeder, ahead_ms }
    }

    /// Lets time pass until an hour of the seeder's clock begins.
    pub(crate) fn until_hour_begins(&self) {
        self.until_multiple_of(3_600_000);
    }

    pub(crate) fn until_day_begins(&self) {
        self.until_multiple_of(24 * 3_600_000);
    }

    fn until_multiple_of(&self, ms: u64) {
        let now_ms = Clock::system().now_ms() + self.ahead_ms.load(Ordering::SeqCst);
        self.pass_ms(ms - now_ms % ms);
    }

    /// Lets time pass.
    pub(crate) fn pass_ms(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn offer(&self, space_bytes: u64) -> Offer {
        let terms = OfferTerms { space_bytes, label: "choir".into(), keep_days: 90, expires_in_ms: 3_600_000 };
        let (id, text, _) = self.seeder.offer(terms).unwrap();
        let offer = Offer::from_text(&text).unwrap();
        assert_eq!(offer.id, id);
        offer
    }
}

async fn start(dir: &tempfile::TempDir, ahead_ms: &Arc<AtomicU64>) -> Seeder {
    let home = Home::resolve(Some(dir.path()), |_| None).unwrap();
    home.prepare().unwrap();
    let (system, ahead_ms) = (Clock::system(), ahead_ms.clone());
    let clock = Clock::of(move || system.now_ms() + ahead_ms.load(Ordering::SeqCst));
    let listen = Some(([127, 0, 0, 1], 0).into());
    Seeder::start(&home, StartOptions { listen, clock, ..StartOptions::default() }).await.unwrap()
}
