//! The part of a connection where people meet by a nameplate: who may say what when. An inviter lays a nameplate at a mailbox; a joiner
//! asks for it, is told, and guesses once; the mailbox knocks at the inviter's with the guess, and passes on what it gives. Where the
//! inviter is called itself, it is its own mailbox, and only the joiner's frames pass.
//!
//! Owns what was said and not answered yet. Which nameplates lie there is the host's to know (`hosting/mailbox.rs`).

use std::collections::BTreeSet;

use super::{Link, LinkError, Output};
use crate::id::EndpointId;
use crate::limits::{MAILBOX_SLOTS_PER_INVITER_MAX, REFUSALS_BEFORE_AUTH_MAX};
use crate::wire::{Frame, Guess, Half, Nameplate, Told};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    /// Ours, on the way there; not answered yet.
    laying: BTreeSet<Nameplate>,
    /// Ours, lying there.
    laid: BTreeSet<Nameplate>,
    /// Ours, at which was knocked from there; to be answered.
    knocked: BTreeSet<Nameplate>,
    /// What we asked for.
    question: Question,
    /// Theirs, at which we knocked; not answered yet.
    knocking: BTreeSet<Nameplate>,
    /// Theirs, which they want to lay here; to be answered.
    lay_asked: BTreeSet<Nameplate>,
    /// What they asked for.
    their_question: Question,
}

/// How far somebody is who asks for a nameplate. One at a time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Question {
    #[default]
    None,
    /// Asked for, not told yet.
    Asked(Nameplate),
    /// Told; there is one guess.
    Told(Nameplate),
    /// Guessed, not answered yet.
    Guessed(Nameplate),
}

/// One for each way of breaking the rules.
type Broken = &'static str;

impl Link {
    /// Lays a nameplate at the other end, for so many seconds; the answer is [`Output::Laid`].
    ///
    /// Errors: it is on its way there already; as many lie there as may; the link ended.
    pub fn lay(&mut self, nameplate: Nameplate, half: Half, for_s: u16) -> Result<(), LinkError> {
        self.running()?;
        let meetings = &mut self.meetings;
        if meetings.laying.len() + meetings.laid.len() >= MAILBOX_SLOTS_PER_INVITER_MAX {
            return Err(LinkError::OutOfTurn);
        }
        if !meetings.laying.insert(nameplate) {
            return Err(LinkError::OutOfTurn);
        }
        self.send_frame(&Frame::Lay { nameplate, half, for_s });
        Ok(())
    }

    /// Takes a nameplate back: nobody is let in by it any more. Who knocked before is answered all the same.
    pub fn lift(&mut self, nameplate: Nameplate) {
        if !self.ended && self.meetings.laid.remove(&nameplate) {
            self.send_frame(&Frame::Lift { nameplate });
        }
    }

    /// Answers [`Output::LayAsked`].
    pub fn laid(&mut self, nameplate: Nameplate, yes: bool) {
        if !self.ended && self.meetings.lay_asked.remove(&nameplate) {
            self.send_frame(&Frame::Laid { nameplate, yes });
        }
    }

    /// Asks for a nameplate; the answer is [`Output::Told`].
    ///
    /// Errors: another one is asked for on this connection, and not over; the link ended.
    pub fn ask(&mut self, nameplate: Nameplate) -> Result<(), LinkError> {
        self.running()?;
        if matches!(self.meetings.question, Question::Asked(_) | Question::Guessed(_)) {
            return Err(LinkError::OutOfTurn);
        }
        self.meetings.question = Question::Asked(nameplate);
        self.send_frame(&Frame::Ask { nameplate });
        Ok(())
    }

    /// Answers [`Output::Asked`].
    pub fn tell(&mut self, nameplate: Nameplate, told: Told) {
        if !self.ended && self.meetings.their_question == Question::Asked(nameplate) {
            self.meetings.their_question = Question::Told(nameplate);
            self.send_frame(&Frame::Told { nameplate, told });
        }
    }

    /// Says the words, in the way that shows them to nobody else; the answer is [`Output::Given`].
    ///
    /// Errors: it was not told of this nameplate, or guessed already; the link ended.
    pub fn guess(&mut self, nameplate: Nameplate, guess: Guess) -> Result<(), LinkError> {
        self.running()?;
        if self.meetings.question != Question::Told(nameplate) {
            return Err(LinkError::OutOfTurn);
        }
        self.meetings.question = Question::Guessed(nameplate);
        self.send_frame(&Frame::Guess { nameplate, guess });
        Ok(())
    }

    /// Passes a guess on to the inviter at the other end; the answer is [`Output::Gave`].
    pub fn knock(&mut self, nameplate: Nameplate, joiner: EndpointId, guess: Guess) {
        if !self.ended && self.meetings.knocking.insert(nameplate) {
            self.send_frame(&Frame::Knock { nameplate, joiner, guess });
        }
    }

    /// Answers [`Output::Knocked`]; with nothing if the words were wrong.
    pub fn give(&mut self, nameplate: Nameplate, sealed: Option<Vec<u8>>) {
        if !self.ended && self.meetings.knocked.remove(&nameplate) {
            self.send_frame(&Frame::Give { nameplate, sealed: sealed.unwrap_or_default() });
        }
    }

    /// Answers [`Output::Guessed`]; with nothing if nobody is let in.
    pub fn given(&mut self, nameplate: Nameplate, sealed: Option<Vec<u8>>) {
        if self.ended || self.meetings.their_question != Question::Guessed(nameplate) {
            return;
        }
        self.meetings.their_question = Question::None;
        if sealed.is_none() {
            self.refused += 1;
        }
        self.send_frame(&Frame::Given { nameplate, sealed: sealed.unwrap_or_default() });
    }

    /// A frame of a meeting arrived.
    pub(super) fn meet(&mut self, frame: Frame) -> Result<(), Broken> {
        let output = match frame {
            Frame::Lay { nameplate, half, for_s } => return self.lay_asked(nameplate, half, for_s),
            Frame::Laid { nameplate, yes } => {
                if !self.meetings.laying.remove(&nameplate) {
                    return Err("answered a nameplate that was not laid");
                }
                if yes {
                    self.meetings.laid.insert(nameplate);
                }
                Output::Laid { nameplate, yes }
            }
            Frame::Lift { nameplate } => Output::Lifted { nameplate },
            Frame::Ask { nameplate } => return self.asked_for(nameplate),
            Frame::Told { nameplate, told } => {
                if self.meetings.question != Question::Asked(nameplate) {
                    return Err("told of a nameplate that was not asked for");
                }
                self.meetings.question = Question::Told(nameplate);
                Output::Told { nameplate, told }
            }
            Frame::Guess { nameplate, guess } => {
                if self.meetings.their_question != Question::Told(nameplate) {
                    return Err("guessed without being told, or twice");
                }
                self.meetings.their_question = Question::Guessed(nameplate);
                Output::Guessed { nameplate, guess }
            }
            Frame::Knock { nameplate, joiner, guess } => {
                if !self.meetings.laid.contains(&nameplate) {
                    // It crossed our taking it back, or was never there: the answer is the same to both.
                    self.send_frame(&Frame::Give { nameplate, sealed: vec![] });
                    return Ok(());
                }
                if !self.meetings.knocked.insert(nameplate) {
                    return Err("knocked again before the answer");
                }
                Output::Knocked { nameplate, joiner, guess }
            }
            Frame::Give { nameplate, sealed } => {
                if !self.meetings.knocking.remove(&nameplate) {
                    return Err("gave what nobody asked for");
                }
                Output::Gave { nameplate, sealed: some(sealed) }
            }
            Frame::Given { nameplate, sealed } => {
                if self.meetings.question != Question::Guessed(nameplate) {
                    return Err("answered a guess that was not made");
                }
                self.meetings.question = Question::None;
                Output::Given { nameplate, sealed: some(sealed) }
            }
            _ => return Err("no frame of a meeting"),
        };
        self.outputs.push_back(output);
        Ok(())
    }

    fn lay_asked(&mut self, nameplate: Nameplate, half: Half, for_s: u16) -> Result<(), Broken> {
        // Who has proved nothing has nobody to invite.
        if !self.proved {
            self.refused += 1;
            if self.refused >= REFUSALS_BEFORE_AUTH_MAX {
                return Err("asked too often in vain");
            }
            self.send_frame(&Frame::Laid { nameplate, yes: false });
            return Ok(());
        }
        if self.meetings.lay_asked.len() >= MAILBOX_SLOTS_PER_INVITER_MAX || !self.meetings.lay_asked.insert(nameplate)
        {
            return Err("lays nameplates without waiting for the answer");
        }
        self.outputs.push_back(Output::LayAsked { nameplate, half, for_s });
        Ok(())
    }

    fn asked_for(&mut self, nameplate: Nameplate) -> Result<(), Broken> {
        if matches!(self.meetings.their_question, Question::Asked(_) | Question::Guessed(_)) {
            return Err("asked for a nameplate before the answer");
        }
        if !self.proved && self.refused >= REFUSALS_BEFORE_AUTH_MAX {
            return Err("asked too often in vain");
        }
        self.meetings.their_question = Question::Asked(nameplate);
        self.outputs.push_back(Output::Asked { nameplate });
        Ok(())
    }
}

fn some(sealed: Vec<u8>) -> Option<Vec<u8>> {
    (!sealed.is_empty()).then_some(sealed)
}
