//! Invites by a nameplate and three words, for two who are both there. The inviter's side lays the nameplate here and at every seeder that is
//! connected, and makes the invite only when somebody said the words. The joiner's side asks wherever the other may be heard.
//!
//! What must hold: one guess ends it, everywhere, and the inviter is told; nobody who stopped looking leaves words behind for long; no
//! invite is made that nobody is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cobox_core::members::{InviteCode, InviteText, Met, SpokenCode, SpokenError, SpokenInviter, SpokenJoiner};
use cobox_net::{EndpointAddrs, Knock, Opener};
use cobox_proto::hosting::{Offer, Ticket};
use cobox_proto::id::{EndpointId, FolderId, SigKey};
use cobox_proto::limits::{MAILBOX_REFUSAL_MS, MAILBOX_SLOTS_PER_INVITER_MAX, MAILBOX_STAY_MS};
use cobox_proto::members::Role as MemberRole;
use cobox_proto::wire::{Half, Nameplate};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{Daemon, now_ms, random};
use super::stopped;
use crate::api::dto::{InviteRequest, Role, SpokenInvite, SpokenRequest, SpokenState, SpokenWaitRequest, Time};
use crate::api::{ApiError, ErrorCode, EventKind, News};
use crate::tickets::to_endpoint;

/// Numbers that are tried before it is given up: most are free.
const NAMEPLATE_TRIES: usize = 8;
/// Whoever shows the words waits for them; who has not for so long is gone, and the words with them.
const LOOKED_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether words are over, or a seeder came.
const ROUND: Duration = Duration::from_secs(1);
/// So long it can be asked how it ended.
const ENDED_STAYS: Duration = Duration::from_secs(10 * 60);
/// How long a mailbox may take to say whether a nameplate lies there.
const LAY_WAIT: Duration = Duration::from_secs(5);
/// Places a joiner asks: each of them can try one guess at the words.
const PLACES_MAX: usize = 16;
/// How long calling one place, and each of its answers, may take.
const PLACE_WAIT: Duration = Duration::from_millis(MAILBOX_REFUSAL_MS + 4_000);
/// How long a goodbye may take.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// So long it is listened whether the inviter is heard yet, though all others said no.
const LISTEN: Duration = Duration::from_secs(3);
/// How often it is looked who else is heard, or how it stands.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Words that wait to be said, and how those before them ended.
#[derive(Default)]
pub(in crate::daemon) struct Meetings(Mutex<BTreeMap<Nameplate, Meeting>>);

struct Meeting {
    folder: FolderId,
    /// The folder's name here.
    name: String,
    terms: InviteRequest,
    code: SpokenCode,
    half: Half,
    /// Gone with the first guess.
    side: Option<SpokenInviter>,
    state: SpokenState,
    invite: Option<String>,
    until: Instant,
    until_ms: u64,
    looked: Instant,
    ended: Option<Instant>,
    /// Seeders at which it lies.
    laid: BTreeMap<SigKey, Opener>,
}

impl Meeting {
    fn shown(&self, via: Vec<String>) -> SpokenInvite {
        SpokenInvite {
            nameplate: self.code.nameplate.number(),
            words: self.code.to_text().to_string(),
            role: self.terms.role,
            approve: self.terms.approve || self.terms.role == Role::Admin,
            until: Time::from_ms(i64::try_from(self.until_ms).unwrap_or(i64::MAX)),
            seeders: self.laid.len() as u64,
            via,
            state: self.state,
            invite: self.invite.clone(),
        }
    }

    /// Ends it; from here on nobody is let in by it.
    fn end(&mut self, state: SpokenState) {
        self.side = None;
        self.state = state;
        self.ended = Some(Instant::now());
        for (_, seeder) in std::mem::take(&mut self.laid) {
            seeder.lift(self.code.nameplate);
        }
    }
}

impl Meetings {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Nameplate, Meeting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    /// Makes words, and waits for somebody who says them.
    pub(super) async fn invite_by_words(
        &self,
        folder: String,
        request: SpokenRequest,
    ) -> Result<SpokenInvite, ApiError> {
        let running = self.find(&folder)?;
        let role = running.handle.ask(|actor| actor.role()).await.ok_or_else(stopped)?;
        if role.is_none_or(|role| role < MemberRole::Admin) {
            return Err(ApiError::new(ErrorCode::RoleForbids, "only owners and admins of a folder invite")
                .hint("ask one of them: `cobox members list`"));
        }
        let SpokenRequest { role, approve, expires_s, wait_s } = request;
        let stay = Duration::from_secs(wait_s).min(Duration::from_millis(MAILBOX_STAY_MS));
        let terms = InviteRequest { to: None, role, expires_s, uses: 1, approve };
        for tries_left in (0..NAMEPLATE_TRIES).rev() {
            let code = SpokenCode::new(Nameplate::any(u32::from_le_bytes(random())), &random());
            let nameplate = code.nameplate;
            let (side, half) = SpokenInviter::start(&code, self.own_endpoint(), &random());
            if !self.post.lay(self.endpoint.id(), nameplate, half, stay) {
                continue;
            }
            let (laid, taken) = self.lay_everywhere(nameplate, half, stay).await;
            if taken && tries_left > 0 {
                self.post.lift(self.endpoint.id(), nameplate);
                laid.values().for_each(|seeder| seeder.lift(nameplate));
                continue;
            }
            let (now, until_ms) = (Instant::now(), now_ms().saturating_add(stay.as_millis() as u64));
            let meeting = Meeting {
                folder: running.handle.id,
                name: running.config.name.clone(),
                terms,
                code,
                half,
                side: Some(side),
                state: SpokenState::Waiting,
                invite: None,
                until: now + stay,
                until_ms,
                looked: now,
                ended: None,
                laid,
            };
            let shown = meeting.shown(self.ways_to(&meeting));
            self.meetings.all().insert(nameplate, meeting);
            self.runtime.spawn(keep(self.me.clone(), nameplate));
            return Ok(shown);
        }
        Err(ApiError::new(
            ErrorCode::Refused,
            format!("{MAILBOX_SLOTS_PER_INVITER_MAX} invites by words were made here within a quarter of an hour"),
        )
        .hint("try again in a few minutes, or make a code: `cobox invite` without --words"))
    }

    /// Waits until somebody said the words, or nobody will. Whoever shows them waits here: they end soon after nobody does.
    pub(super) async fn wait_for_words(
        &self,
        folder: String,
        nameplate: u16,
        request: SpokenWaitRequest,
    ) -> Result<SpokenInvite, ApiError> {
        let until = Instant::now() + Duration::from_millis(request.timeout_ms).min(LOOKED_MAX);
        loop {
            let now = self.with_meeting(&folder, nameplate, |meeting| meeting.looked = Instant::now())?;
            if now.state != SpokenState::Waiting || Instant::now() >= until {
                return Ok(now);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends words before their time.
    pub(super) fn cancel_words(&self, folder: &str, nameplate: u16) -> Result<SpokenInvite, ApiError> {
        let us = self.endpoint.id();
        self.with_meeting(folder, nameplate, |meeting| {
            if meeting.state == SpokenState::Waiting {
                self.post.lift(us, meeting.code.nameplate);
                meeting.end(SpokenState::Over);
            }
        })
    }

    fn with_meeting(
        &self,
        folder: &str,
        nameplate: u16,
        act: impl FnOnce(&mut Meeting),
    ) -> Result<SpokenInvite, ApiError> {
        let running = self.find(folder)?;
        let mut all = self.meetings.all();
        let meeting = match Nameplate::new(nameplate) {
            Some(nameplate) => all.get_mut(&nameplate),
            None => None,
        };
        let Some(meeting) = meeting.filter(|meeting| meeting.folder == running.handle.id) else {
            return Err(ApiError::new(
                ErrorCode::InviteNotFound,
                format!("no invite by words with the number {nameplate} waits for this folder"),
            )
            .hint("make a new one: `cobox invite FOLDER --words`"));
        };
        act(meeting);
        Ok(meeting.shown(self.ways_to(meeting)))
    }

    /// Tickets to where the nameplate lies: seeders first, they are reached from anywhere.
    fn ways_to(&self, meeting: &Meeting) -> Vec<String> {
        let running = self.running();
        let seeders = running.iter().flat_map(|running| &running.config.seeders);
        let lies_at = |ticket: &Ticket| meeting.laid.contains_key(&SigKey(ticket.endpoint.0));
        let there = seeders.filter(|seeder| seeder.ticket().as_ref().is_some_and(lies_at));
        let mut tickets: Vec<String> = there.map(|seeder| seeder.ticket.clone()).collect();
        tickets.sort();
        tickets.dedup();
        tickets.push(self.ticket().to_text());
        tickets
    }

    /// Lays a nameplate at the seeders that are connected; also whether one says that the number is taken there.
    async fn lay_everywhere(
        &self,
        nameplate: Nameplate,
        half: Half,
        stay: Duration,
    ) -> (BTreeMap<SigKey, Opener>, bool) {
        let asked = self.seeders_connected().into_iter().map(|(key, opener)| async move {
            let answer = tokio::time::timeout(LAY_WAIT, opener.lay(nameplate, half, stay)).await;
            (key, opener, answer)
        });
        let answers = futures_util::future::join_all(asked).await;
        let taken = answers.iter().any(|(.., answer)| *answer == Ok(false));
        let laid = answers.into_iter().filter(|(.., answer)| *answer == Ok(true));
        (laid.map(|(key, opener, _)| (key, opener)).collect(), taken)
    }

    /// Seeders of any folder of this device: whoever is invited may know one of them, too.
    fn seeders_connected(&self) -> Vec<(SigKey, Opener)> {
        let seeders: BTreeSet<SigKey> = self.seeder_places().into_iter().map(|place| place.key).collect();
        seeders.into_iter().take(PLACES_MAX).filter_map(|key| Some((key, self.link(&key)?))).collect()
    }

    fn seeder_places(&self) -> Vec<EndpointAddrs> {
        let running = self.running();
        let seeders = running.iter().flat_map(|running| &running.config.seeders);
        seeders.filter_map(|seeder| seeder.ticket()).map(|ticket| to_endpoint(&ticket)).collect()
    }

    fn own_endpoint(&self) -> EndpointId {
        EndpointId(self.endpoint.id().0)
    }

    /// Somebody guesses the words of a nameplate of this device: the sealed invite, if they are right.
    pub(in crate::daemon) async fn heard_words(&self, knock: Knock) -> Option<Vec<u8>> {
        let (met, folder, terms) = self.hear(&knock)?;
        match self.make_invite(folder.to_string(), terms).await {
            Ok(invite) => {
                let Ok(InviteText::Code(code)) = invite.code.parse() else { return None };
                self.given(knock.nameplate, Ok(invite.id));
                Some(met.seal(&code))
            }
            Err(why) => {
                self.given(knock.nameplate, Err(why));
                None
            }
        }
    }

    /// The one guess.
    fn hear(&self, knock: &Knock) -> Option<(Met, FolderId, InviteRequest)> {
        let mut all = self.meetings.all();
        let meeting = all.get_mut(&knock.nameplate)?;
        let heard = meeting.side.take()?.hear(&knock.joiner, &knock.guess);
        self.post.lift(self.endpoint.id(), knock.nameplate);
        match heard {
            Ok(met) => {
                meeting.end(SpokenState::Given);
                Some((met, meeting.folder, meeting.terms.clone()))
            }
            Err(_) => {
                meeting.end(SpokenState::Wrong);
                let text = format!(
                    "{}: somebody said other words with the number {}; it lets nobody in any more",
                    meeting.name, knock.nameplate
                );
                self.events.publish(News::new(EventKind::Problem, text).folder(meeting.folder.to_string()));
                None
            }
        }
    }

    fn given(&self, nameplate: Nameplate, invite: Result<String, ApiError>) {
        let mut all = self.meetings.all();
        let Some(meeting) = all.get_mut(&nameplate) else { return };
        match invite {
            Ok(id) => meeting.invite = Some(id),
            Err(why) => {
                meeting.state = SpokenState::Over;
                let text = format!("{}: the words were right, but no invite could be made: {why}", meeting.name);
                self.events.publish(News::new(EventKind::Problem, text).folder(meeting.folder.to_string()));
            }
        }
    }
}

/// Looks after words until they are forgotten: ends them in time, and lays them at seeders that came since.
async fn keep(daemon: Weak<Daemon>, nameplate: Nameplate) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(daemon) = daemon.upgrade() else { return };
        let (half, stay, known) = {
            let mut all = daemon.meetings.all();
            let Some(meeting) = all.get_mut(&nameplate) else { return };
            let now = Instant::now();
            if let Some(ended) = meeting.ended {
                if now >= ended + ENDED_STAYS {
                    all.remove(&nameplate);
                    return;
                }
                continue;
            }
            if now >= meeting.until || now >= meeting.looked + LOOKED_MAX {
                daemon.post.lift(daemon.endpoint.id(), nameplate);
                meeting.end(SpokenState::Over);
                continue;
            }
            meeting.laid.retain(|_, seeder| !seeder.is_over());
            (meeting.half, meeting.until - now, meeting.laid.keys().copied().collect::<BTreeSet<_>>())
        };
        for (key, seeder) in daemon.seeders_connected().into_iter().filter(|(key, _)| !known.contains(key)) {
            let lies = tokio::time::timeout(LAY_WAIT, seeder.lay(nameplate, half, stay)).await == Ok(true);
            if !lies {
                continue;
            }
            let mut all = daemon.meetings.all();
            match all.get_mut(&nameplate).filter(|meeting| meeting.state == SpokenState::Waiting) {
                Some(meeting) => drop(meeting.laid.insert(key, seeder)),
                None => seeder.lift(nameplate),
            }
        }
    }
}

/// What a place answered.
enum Said {
    /// The invite.
    Invite(Box<InviteCode>),
    /// No: it is not there, spent, or the words are others.
    No,
    /// Nothing.
    Nothing,
}

impl Daemon {
    /// Says words wherever the inviter may be heard, and gets the invite.
    pub(super) async fn say_words(
        &self,
        code: &SpokenCode,
        via: Option<&str>,
        deadline: Instant,
    ) -> Result<InviteCode, ApiError> {
        let via = via.map(place_of).transpose()?;
        let me = self.me.upgrade().ok_or_else(stopped)?;
        let begun = Instant::now();
        let (mut asked, mut said_no) = (BTreeSet::new(), false);
        let mut answers = JoinSet::new();
        loop {
            let places = via.clone().map_or_else(|| self.places(), |place| vec![place]);
            for place in places {
                if asked.len() < PLACES_MAX && asked.insert(place.key) {
                    let (daemon, code) = (me.clone(), code.clone());
                    answers.spawn(async move { daemon.say_at(&place, &code).await });
                }
            }
            tokio::select! {
                Some(answer) = answers.join_next() => match answer {
                    Ok(Said::Invite(invite)) => return Ok(*invite),
                    Ok(Said::No) => said_no = true,
                    Ok(Said::Nothing) | Err(_) => {}
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let all_said = answers.is_empty() && (via.is_some() || begun.elapsed() >= LISTEN);
            if said_no && (all_said || Instant::now() >= deadline) {
                return Err(wrong_words());
            }
            if Instant::now() >= deadline || (all_said && via.is_some()) {
                return Err(nobody_heard(via.is_some()));
            }
        }
    }

    /// Machines that may know the nameplate: those one is connected with, those heard in the local network, and seeders one knows.
    fn places(&self) -> Vec<EndpointAddrs> {
        let known = self.endpoint.heard().into_iter().chain(self.seeder_places());
        let mut known: BTreeMap<SigKey, EndpointAddrs> = known.map(|place| (place.key, place)).collect();
        let bare = |key| EndpointAddrs { key, addrs: Vec::new(), relays: Vec::new() };
        let connected = self.links.machines().into_iter();
        let mut places: Vec<EndpointAddrs> =
            connected.map(|key| known.remove(&key).unwrap_or_else(|| bare(key))).collect();
        places.extend(known.into_values());
        places.retain(|place| place.key != self.endpoint.id());
        places
    }

    async fn say_at(&self, place: &EndpointAddrs, code: &SpokenCode) -> Said {
        let was_known = self.link(&place.key).is_some();
        let Ok(Ok(link)) = tokio::time::timeout(PLACE_WAIT, self.call(place)).await else { return Said::Nothing };
        let said = self.say_on(&link, place, code).await;
        // Who proves nothing is sent away soon: the next words would be cut off in the middle.
        if !was_known && !matches!(said, Said::Invite(_)) {
            link.goodbye();
            let until = Instant::now() + GOODBYE_WAIT;
            while !link.is_over() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        said
    }

    async fn say_on(&self, link: &Opener, place: &EndpointAddrs, code: &SpokenCode) -> Said {
        let Ok(Some(told)) = tokio::time::timeout(PLACE_WAIT, link.ask(code.nameplate)).await else {
            return Said::Nothing;
        };
        let Ok((side, guess)) = SpokenJoiner::start(code, self.own_endpoint(), &told, &random()) else {
            return Said::No;
        };
        let given = tokio::time::timeout(PLACE_WAIT, link.guess(code.nameplate, guess)).await.ok().flatten();
        match given.map(|sealed| side.open(&sealed)) {
            Some(Ok(invite)) => Said::Invite(Box::new(invite)),
            Some(Err(why)) => {
                tracing::warn!(peer = %place.key.short(), %why, "what was given for three words is no invite");
                Said::No
            }
            None => Said::No,
        }
    }
}

/// Where a ticket or a hosting offer leads.
fn place_of(via: &str) -> Result<EndpointAddrs, ApiError> {
    let ticket = Ticket::from_text(via).or_else(|why| Offer::from_text(via).map(|offer| offer.ticket).map_err(|_| why));
    ticket.map(|ticket| to_endpoint(&ticket)).map_err(|why| {
        ApiError::new(ErrorCode::CodeUnreadable, format!("this is no ticket: {why}"))
            .hint("the person who invites you sees it with the words")
    })
}

pub(super) fn unreadable(why: &SpokenError) -> ApiError {
    ApiError::new(ErrorCode::CodeUnreadable, why.to_string()).hint("have them said again; nothing was tried yet")
}

fn wrong_words() -> ApiError {
    ApiError::new(
        ErrorCode::CodeSpent,
        "these words let nobody in: one of them is another, they were used, or whoever made them is not there any more",
    )
    .hint("ask for new ones: each three words are good for one try")
}

fn nobody_heard(via: bool) -> ApiError {
    let hint = if via {
        "see that it is running and that this computer is connected to it; the words are still good"
    } else {
        "join the same local network, or give what is shown beside the words: `cobox join WORDS --via TICKET`"
    };
    ApiError::new(ErrorCode::Unreachable, "nobody was heard who could know these words").hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_ticket_or_an_offer_and_nothing_else() {
        let ticket =
            Ticket { party: cobox_proto::wire::Party::Member, endpoint: EndpointId([7; 32]), addresses: vec![] };
        assert_eq!(place_of(&ticket.to_text()).unwrap().key, SigKey([7; 32]));
        assert_eq!(place_of("7-apple-river-moon").unwrap_err().code, ErrorCode::CodeUnreadable);
    }
}
