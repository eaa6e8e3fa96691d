//! One call to a running program, inside its folder: what is said, and what is heard. Everything waits, within bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cobox_net::{
    Admitted, Config, Endpoint, EndpointAddrs, FolderEvent, Host, INBOX_MAX, Inbox, Opener, Pass, Peer, drive,
};
use cobox_proto::id::{Cid, FolderId, OfferId, SigKey};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{ClaimRefusal, FoundFolder, Guess, Half, LogPart, Message, Nameplate, Party};
use cobox_storm::PATIENCE;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Gives every folder the same inbox and lets nobody in.
struct Calling(Inbox);

impl Host for Calling {
    fn party(&self) -> Party {
        Party::Member
    }
    fn folder_called(&self, _: &dyn Fn(&FolderId) -> bool) -> Option<FolderId> {
        None
    }
    fn inbox(&self, _: &FolderId) -> Option<Inbox> {
        Some(self.0.clone())
    }
    fn offer_secret(&self, _: OfferId) -> BoxFuture<'_, Option<[u8; 16]>> {
        async { None }.boxed()
    }
    fn claimed(&self, _: OfferId, _: FolderId) -> BoxFuture<'_, Option<Admitted>> {
        async { None }.boxed()
    }
    fn find(&self, _: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>> {
        async { vec![] }.boxed()
    }
    fn greet(&self, _: SigKey, _: Opener) {}
    fn parted(&self, _: SigKey) {}
}

/// A connection to somebody's machine; nothing is proved yet.
pub(crate) struct Line {
    runtime: Handle,
    endpoint: Endpoint,
    opener: Opener,
    events: mpsc::Receiver<FolderEvent>,
}

impl Line {
    pub(crate) fn to(runtime: &Handle, whom: &EndpointAddrs, machine: &[u8; 32]) -> Result<Self> {
        runtime.block_on(async {
            let endpoint = Endpoint::bind(Config::loopback(), machine).await?;
            let (inbox, events) = mpsc::channel(INBOX_MAX);
            let connection = soon(endpoint.dial(whom)).await??;
            let opener = drive(connection, endpoint.id(), Arc::new(Calling(inbox)));
            Ok(Self { runtime: runtime.clone(), endpoint, opener, events })
        })
    }

    /// Asks to enter; `None`: it is not let in.
    pub(crate) fn enter(mut self, folder: FolderId, kind: KeyKind, key: SecretKey) -> Result<Option<Call>> {
        if !self.is_let_in(folder, kind, key)? {
            self.hang_up();
            return Ok(None);
        }
        let peer = self.opened()?;
        Ok(Some(Call { line: self, peer }))
    }

    pub(crate) fn is_let_in(&self, folder: FolderId, kind: KeyKind, key: SecretKey) -> Result<bool> {
        let pass = Pass { kind, key, introduction: Vec::new() };
        self.runtime.block_on(soon(self.opener.open_and_wait(folder, pass)))
    }

    /// Asks for many folders at once, and waits for no answer.
    pub(crate) fn asks_for(&self, folders: impl Iterator<Item = FolderId>, key: &SecretKey) {
        let pass = Pass { kind: KeyKind::Device, key: key.clone(), introduction: Vec::new() };
        folders.for_each(|folder| self.opener.open(folder, pass.clone()));
    }

    /// In which folders these member keys are said to be live.
    pub(crate) fn finds(&self, keys: Vec<SecretKey>) -> Result<Vec<FoundFolder>> {
        self.runtime.block_on(soon(self.opener.find(keys)))
    }

    /// Says words at somebody's nameplate; `None` if nobody would tell of it. What was given for them.
    pub(crate) fn guesses(&self, nameplate: Nameplate, guess: Guess) -> Result<Option<Option<Vec<u8>>>> {
        self.runtime.block_on(async {
            let Some(_told) = soon(self.opener.ask(nameplate)).await? else { return Ok(None) };
            Ok(Some(soon(self.opener.guess(nameplate, guess)).await?))
        })
    }

    /// Whether a nameplate is taken there.
    pub(crate) fn lays(&self, nameplate: Nameplate, half: Half) -> Result<bool> {
        self.runtime.block_on(soon(self.opener.lay(nameplate, half, Duration::from_secs(60))))
    }

    /// Hands a folder over with an offer; `None`: the offer opened nothing.
    pub(crate) fn claims(
        &mut self,
        folder: FolderId,
        (offer, secret): (OfferId, [u8; 16]),
        part: LogPart,
    ) -> Result<Option<Result<(), ClaimRefusal>>> {
        if !self.runtime.block_on(soon(self.opener.claim(folder, offer, secret)))? {
            return Ok(None);
        }
        let peer = self.opened()?;
        peer.send(Message::Claim(part));
        loop {
            match self.next()? {
                FolderEvent::Message { message: Message::Claimed, .. } => return Ok(Some(Ok(()))),
                FolderEvent::Message { message: Message::ClaimRefused(why), .. } => return Ok(Some(Err(why))),
                FolderEvent::Closed { .. } => bail!("closed without an answer"),
                _ => {}
            }
        }
    }

    /// Waits until the other end has ended the connection.
    pub(crate) fn ends(&self) -> Result<()> {
        until("the connection ends", || Ok(self.opener.is_over()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.opener.is_over()
    }

    pub(crate) fn hang_up(self) {
        self.runtime.block_on(self.endpoint.close());
    }

    fn opened(&mut self) -> Result<Peer> {
        loop {
            if let FolderEvent::Opened { peer, .. } = self.next()? {
                return Ok(peer);
            }
        }
    }

    fn next(&mut self) -> Result<FolderEvent> {
        let next = self.runtime.block_on(soon(self.events.recv()))?;
        next.context("the inbox lives as long as the line")
    }
}

/// A folder that is open on a line.
pub(crate) struct Call {
    line: Line,
    peer: Peer,
}

impl Call {
    pub(crate) fn says(&self, message: Message) {
        self.peer.send(message);
    }

    pub(crate) fn gives(&self, block: Vec<u8>) -> Result<()> {
        self.line.runtime.block_on(soon(self.peer.send_block(block.into())))??;
        Ok(())
    }

    /// The next thing that is said, or `None` at the end.
    pub(crate) fn hears(&mut self) -> Result<Option<Message>> {
        loop {
            match self.line.next()? {
                FolderEvent::Message { message, .. } => return Ok(Some(message)),
                FolderEvent::Closed { .. } => return Ok(None),
                _ => {}
            }
        }
    }

    /// What is said within a moment; `None` at the end or if nothing is.
    fn hears_within(&mut self, time: Duration) -> Option<FolderEvent> {
        let events = &mut self.line.events;
        self.line.runtime.block_on(async { tokio::time::timeout(time, events.recv()).await.ok().flatten() })
    }

    /// Waits until the other end closes the folder.
    pub(crate) fn until_closed(mut self) -> Result<()> {
        while self.hears()?.is_some() {}
        self.line.hang_up();
        Ok(())
    }

    /// Says this again and again until the other end closes the folder. What comes slowly may be answered in between, and is not too much then.
    pub(crate) fn says_until_closed(mut self, what: impl Fn() -> Vec<Message>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            what().into_iter().for_each(|message| self.says(message));
            let again = Instant::now() + Duration::from_secs(1);
            while let Some(left) = again.checked_duration_since(Instant::now()) {
                if let Some(FolderEvent::Closed { .. }) = self.hears_within(left) {
                    self.line.hang_up();
                    return Ok(());
                }
            }
            ensure!(Instant::now() < end, "not closed within {PATIENCE:?}");
        }
    }

    /// Waits until all that was said before has been looked at: what is said is heard in order, and a question comes last.
    pub(crate) fn was_heard(&mut self) -> Result<()> {
        self.says(Message::GenesisWanted);
        loop {
            if let Message::Genesis { .. } = self.hears()?.context("it was closed instead")? {
                return Ok(());
            }
        }
    }

    /// Answers what is asked, until `told` holds.
    pub(crate) fn answers_until(
        &mut self,
        what: &str,
        mut answer: impl FnMut(Message) -> Vec<Answer>,
        mut told: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let (end, mut closed) = (Instant::now() + PATIENCE, false);
        loop {
            match self.hears_within(Duration::from_millis(20)) {
                Some(FolderEvent::Message { message, .. }) => {
                    for answer in answer(message) {
                        match answer {
                            Answer::Says(message) => self.says(message),
                            Answer::Gives(block) => self.gives(block)?,
                        }
                    }
                }
                Some(FolderEvent::Closed { .. }) => closed = true,
                _ => {}
            }
            if told()? {
                return Ok(());
            }
            ensure!(!closed, "it was closed before {what}");
            ensure!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        }
    }

    pub(crate) fn hang_up(self) {
        self.line.hang_up();
    }
}

/// What Mallory answers.
pub(crate) enum Answer {
    Says(Message),
    Gives(Vec<u8>),
}

/// Waits for something, within bounds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
    Ok(())
}

async fn soon<T>(what: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, what).await.context("this should not take so long")
}

/// The names of blocks that nobody has.
pub(crate) fn names(from: u64, count: u64) -> Vec<Cid> {
    (from..from + count).map(|n| Cid::of(&n.to_le_bytes())).collect()
}
