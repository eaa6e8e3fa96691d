//! Meeting by a nameplate over real connections: a seeder that keeps it, an inviter, and whoever comes by.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cobox_net::{Admitted, Endpoint, Host, Inbox, Knock, Opener, Post, drive};
use cobox_proto::id::{FolderId, Hash, OfferId, SigKey};
use cobox_proto::limits::{MAILBOX_ASKED_PER_HOUR_MAX, MAILBOX_REFUSAL_MS};
use cobox_proto::wire::{FoundFolder, Guess, Half, Nameplate, Party};
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::{endpoint, soon};

const HALF: Half = Half([7; 32]);
/// What an inviter of these tests gives to whoever says "right".
const SEALED: &[u8] = b"sealed";

/// A program with no folders.
struct Meeting {
    post: Option<Post>,
    knocks: Mutex<Vec<Knock>>,
    /// Connections that are over.
    parted: AtomicUsize,
}

impl Meeting {
    fn new(post: Option<Post>) -> Arc<Self> {
        Arc::new(Self { post, knocks: Mutex::default(), parted: AtomicUsize::new(0) })
    }
}

fn guess(right: bool) -> Guess {
    Guess { half: Half([8; 32]), confirmation: Hash([u8::from(right); 32]) }
}

impl Host for Meeting {
    fn party(&self) -> Party {
        Party::Member
    }
    fn folder_called(&self, _: &dyn Fn(&FolderId) -> bool) -> Option<FolderId> {
        None
    }
    fn inbox(&self, _: &FolderId) -> Option<Inbox> {
        None
    }
    fn offer_secret(&self, _: OfferId) -> BoxFuture<'_, Option<[u8; 16]>> {
        ready(None).boxed()
    }
    fn claimed(&self, _: OfferId, _: FolderId) -> BoxFuture<'_, Option<Admitted>> {
        ready(None).boxed()
    }
    /// Whoever asks is known: it is the way to prove something here.
    fn find(&self, keys: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>> {
        let found = |key| FoundFolder { key, folder: FolderId([1; 32]), vault: false };
        ready(keys.into_iter().map(found).collect()).boxed()
    }
    fn greet(&self, _: SigKey, _: Opener) {}
    fn parted(&self, _: SigKey) {
        self.parted.fetch_add(1, Ordering::Relaxed);
    }
    fn post(&self) -> Option<&Post> {
        self.post.as_ref()
    }
    fn knocked(&self, knock: Knock) -> BoxFuture<'_, Option<Vec<u8>>> {
        self.knocks.lock().unwrap().push(knock);
        ready((knock.guess == guess(true)).then(|| SEALED.to_vec())).boxed()
    }
}

/// One machine.
struct Machine {
    endpoint: Arc<Endpoint>,
    host: Arc<Meeting>,
}

impl Machine {
    async fn new(seed: u8, post: Option<Post>) -> Self {
        let (endpoint, host) = (endpoint(seed).await, Meeting::new(post));
        let (accepting, hosting) = (endpoint.clone(), host.clone());
        tokio::spawn(async move {
            while let Some(conn) = accepting.accept().await {
                drive(conn, accepting.id(), hosting.clone());
            }
        });
        Self { endpoint, host }
    }

    async fn call(&self, other: &Machine) -> Opener {
        let conn = self.endpoint.dial(&other.endpoint.addrs()).await.unwrap();
        drive(conn, self.endpoint.id(), self.host.clone())
    }

    /// The same, known there from then on.
    async fn call_known(&self, other: &Machine) -> Opener {
        let opener = self.call(other).await;
        let key = cobox_proto::sign::SecretKey::from_seed(&[99; 32]);
        assert_eq!(soon(opener.find(vec![key])).await.len(), 1);
        opener
    }
}

fn plate(n: u16) -> Nameplate {
    Nameplate::new(n).unwrap()
}

const STAY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_guess_goes_through_a_seeder_once_and_all_that_fails_sounds_alike() {
    let seeder = Machine::new(1, Some(Post::for_others([5; 32]))).await;
    let (ana, ben, carol) = (Machine::new(2, None).await, Machine::new(3, None).await, Machine::new(4, None).await);
    let at_seeder = ana.call_known(&seeder).await;
    assert!(soon(at_seeder.lay(plate(7), HALF, STAY)).await && soon(at_seeder.lay(plate(8), HALF, STAY)).await);

    let bens = ben.call(&seeder).await;
    let told = soon(bens.ask(plate(7))).await.unwrap();
    assert_eq!((told.inviter.0, told.half), (ana.endpoint.id().0, HALF));
    assert_eq!(soon(bens.guess(plate(7), guess(true))).await.as_deref(), Some(SEALED));
    let knocks = std::mem::take(&mut *ana.host.knocks.lock().unwrap());
    assert_eq!((knocks.len(), knocks[0].joiner.0), (1, ben.endpoint.id().0), "the seeder says who it is");

    // Right, and too late; wrong; and of a number that nobody has: at the same time, on one connection each.
    let dave = Machine::new(6, None).await;
    let asking = |who: &Machine, n: u16, right: bool| {
        let (endpoint, host, seeder) = (who.endpoint.clone(), who.host.clone(), seeder.endpoint.addrs());
        async move {
            let opener = drive(endpoint.dial(&seeder).await.unwrap(), endpoint.id(), host);
            let told = opener.ask(plate(n)).await;
            let begun = Instant::now();
            (told, opener.guess(plate(n), guess(right)).await, begun.elapsed())
        }
    };
    let (late, wrong, absent) =
        soon(async { tokio::join!(asking(&ben, 7, true), asking(&carol, 8, false), asking(&dave, 9, true)) }).await;
    for (told, given, took) in [late, wrong, absent] {
        assert!(told.is_some() && given.is_none());
        assert!(took >= Duration::from_millis(MAILBOX_REFUSAL_MS - 50) && took < Duration::from_secs(15), "{took:?}");
    }
    let knocks = ana.host.knocks.lock().unwrap();
    assert_eq!(knocks.iter().map(|knock| knock.nameplate).collect::<Vec<_>>(), [plate(8)], "the others never arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_strangers_lay_nothing_down_and_ask_five_times_an_hour() {
    let seeder = Machine::new(1, Some(Post::for_others([5; 32]))).await;
    let (ana, mallory) = (Machine::new(2, None).await, Machine::new(3, None).await);
    let hers = mallory.call(&seeder).await;
    assert!(!soon(hers.lay(plate(7), HALF, STAY)).await, "who has proved nothing");
    let at_seeder = ana.call_known(&seeder).await;
    assert!(soon(at_seeder.lay(plate(7), HALF, STAY)).await);
    for n in 0..MAILBOX_ASKED_PER_HOUR_MAX as u16 {
        assert_ne!(soon(hers.ask(plate(100 + n))).await.unwrap().half, HALF);
    }
    assert_ne!(soon(hers.ask(plate(7))).await.unwrap().half, HALF, "from this address nothing lies there any more");
    assert_eq!(soon(hers.guess(plate(7), guess(true))).await, None);
    assert!(ana.host.knocks.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inviter_is_its_own_mailbox_and_nobody_elses() {
    let ana = Machine::new(1, Some(Post::for_us([5; 32]))).await;
    let (ben, carol) = (Machine::new(2, None).await, Machine::new(3, None).await);
    assert!(ana.host.post.as_ref().unwrap().lay(ana.endpoint.id(), plate(7), HALF, STAY));
    let carols = carol.call_known(&ana).await;
    assert!(!soon(carols.lay(plate(8), HALF, STAY)).await);
    let bens = ben.call(&ana).await;
    assert_eq!(soon(bens.ask(plate(7))).await.unwrap().half, HALF);
    assert_eq!(soon(bens.guess(plate(7), guess(true))).await.as_deref(), Some(SEALED));
    ana.host.post.as_ref().unwrap().lift(ana.endpoint.id(), plate(7));
    assert_eq!(soon(bens.guess(plate(7), guess(true))).await, None, "nobody guesses without asking");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inviter_that_went_costs_nobody_their_guess_and_lays_it_again() {
    let seeder = Machine::new(1, Some(Post::for_others([5; 32]))).await;
    let (ana, ben) = (Machine::new(2, None).await, Machine::new(3, None).await);
    let at_seeder = ana.call_known(&seeder).await;
    assert!(soon(at_seeder.lay(plate(7), HALF, STAY)).await);
    at_seeder.goodbye();
    soon(async {
        while seeder.host.parted.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let bens = ben.call(&seeder).await;
    assert!(soon(bens.ask(plate(7))).await.is_some());
    assert_eq!(soon(bens.guess(plate(7), guess(true))).await, None);
    let again = ana.call_known(&seeder).await;
    assert!(soon(again.lay(plate(7), HALF, STAY)).await);
    assert_eq!(soon(bens.ask(plate(7))).await.unwrap().half, HALF);
    assert_eq!(soon(bens.guess(plate(7), guess(true))).await.as_deref(), Some(SEALED));
}
