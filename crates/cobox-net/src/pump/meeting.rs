//! The frames of a meeting (`post.rs`) on one connection: what was asked of the other end and is not answered yet, and what the other end
//! asks. Nothing waits here: answers that take their time come back as commands.

use std::collections::BTreeMap;
use std::time::Duration;

use cobox_proto::link::Output;
use cobox_proto::wire::{Guess, Half, Nameplate, Told};
use tokio::sync::oneshot;

use super::{Command, Opener, Pump};
use crate::post::Knock;

/// What is asked of the other end, or answered by somebody who took their time.
#[derive(Debug)]
pub(crate) enum Meet {
    Lay {
        nameplate: Nameplate,
        half: Half,
        for_s: u16,
        answer: oneshot::Sender<bool>,
    },
    Lift {
        nameplate: Nameplate,
    },
    Ask {
        nameplate: Nameplate,
        answer: oneshot::Sender<Told>,
    },
    Guess {
        nameplate: Nameplate,
        guess: Guess,
        answer: oneshot::Sender<Option<Vec<u8>>>,
    },
    /// We answer a knock.
    Give {
        nameplate: Nameplate,
        sealed: Option<Vec<u8>>,
    },
    /// We answer a guess.
    Given {
        nameplate: Nameplate,
        sealed: Option<Vec<u8>>,
    },
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    laying: BTreeMap<Nameplate, oneshot::Sender<bool>>,
    asking: Option<oneshot::Sender<Told>>,
    guessing: Option<oneshot::Sender<Option<Vec<u8>>>>,
    /// What the other end was told that really lies here.
    told: Option<(Nameplate, Told)>,
}

impl Opener {
    /// Lays a nameplate at the other end. `false`: it is taken, not for us, or the connection ended.
    pub async fn lay(&self, nameplate: Nameplate, half: Half, stay: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        let for_s = u16::try_from(stay.as_secs()).unwrap_or(u16::MAX);
        let _ = self.commands.send(Command::Meet(Meet::Lay { nameplate, half, for_s, answer }));
        answered.await.unwrap_or(false)
    }

    /// Takes a nameplate back.
    pub fn lift(&self, nameplate: Nameplate) {
        let _ = self.commands.send(Command::Meet(Meet::Lift { nameplate }));
    }

    /// Asks for a nameplate. `None`: another one is asked for on this connection, or it ended.
    pub async fn ask(&self, nameplate: Nameplate) -> Option<Told> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Meet(Meet::Ask { nameplate, answer }));
        answered.await.ok()
    }

    /// Says the words of a nameplate that was told. What was given; nothing also when the connection ends first.
    pub async fn guess(&self, nameplate: Nameplate, guess: Guess) -> Option<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Meet(Meet::Guess { nameplate, guess, answer }));
        answered.await.ok().flatten()
    }
}

impl Pump {
    pub(super) fn meet(&mut self, meet: Meet) {
        match meet {
            Meet::Lay { nameplate, half, for_s, answer } => {
                if self.link.lay(nameplate, half, for_s).is_ok() {
                    self.meeting.laying.insert(nameplate, answer);
                }
            }
            Meet::Lift { nameplate } => self.link.lift(nameplate),
            Meet::Ask { nameplate, answer } => {
                if self.link.ask(nameplate).is_ok() {
                    self.meeting.asking = Some(answer);
                }
            }
            Meet::Guess { nameplate, guess, answer } => {
                if self.link.guess(nameplate, guess).is_ok() {
                    self.meeting.guessing = Some(answer);
                }
            }
            Meet::Give { nameplate, sealed } => self.link.give(nameplate, sealed),
            Meet::Given { nameplate, sealed } => self.link.given(nameplate, sealed),
        }
    }

    /// An output of the link that belongs to a meeting.
    pub(super) fn met(&mut self, output: Output) {
        match output {
            Output::LayAsked { nameplate, half, for_s } => {
                let (remote, way) = (self.conn.remote_key(), self.commands.clone());
                let stay = Duration::from_secs(for_s.into());
                let yes = self.host.post().is_some_and(|post| post.lay_for(remote, way, nameplate, half, stay));
                self.link.laid(nameplate, yes);
            }
            Output::Laid { nameplate, yes } => {
                if let Some(answer) = self.meeting.laying.remove(&nameplate) {
                    let _ = answer.send(yes);
                }
            }
            Output::Lifted { nameplate } => {
                if let Some(post) = self.host.post() {
                    post.lift_of(self.conn.remote_key(), nameplate);
                }
            }
            Output::Asked { nameplate } => {
                let address = self.conn.path().and_then(|path| path.address);
                let Some(found) = self.host.post().map(|post| post.ask(address, nameplate)) else { return };
                self.meeting.told = found.lies_here.then_some((nameplate, found.told));
                self.link.tell(nameplate, found.told);
            }
            Output::Told { told, .. } => {
                if let Some(answer) = self.meeting.asking.take() {
                    let _ = answer.send(told);
                }
            }
            Output::Guessed { nameplate, guess } => self.guessed(nameplate, guess),
            Output::Knocked { nameplate, joiner, guess } => {
                let (host, commands) = (self.host.clone(), self.commands.clone());
                tokio::spawn(async move {
                    let sealed = host.knocked(Knock { nameplate, joiner, guess }).await;
                    let _ = commands.send(Command::Meet(Meet::Give { nameplate, sealed }));
                });
            }
            Output::Gave { nameplate, sealed } => {
                if let Some(post) = self.host.post() {
                    post.gave(nameplate, sealed);
                }
            }
            Output::Given { sealed, .. } => {
                if let Some(answer) = self.meeting.guessing.take() {
                    let _ = answer.send(sealed);
                }
            }
            _ => {}
        }
    }

    /// Whoever guesses is answered later, so that nothing else on this connection waits for it.
    fn guessed(&mut self, nameplate: Nameplate, guess: Guess) {
        let told = self.meeting.told.take().filter(|(of, _)| *of == nameplate).map(|(_, told)| told);
        let (host, commands, joiner) = (self.host.clone(), self.commands.clone(), self.conn.remote_key());
        tokio::spawn(async move {
            let Some(post) = host.post() else { return };
            let sealed = post.guess(&host, joiner, told, nameplate, guess).await;
            let _ = commands.send(Command::Meet(Meet::Given { nameplate, sealed }));
        });
    }
}
