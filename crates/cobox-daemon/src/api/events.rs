//! What happened, in a bounded ring that any number of listeners follow. A listener that comes back with the id of the last event
//! it saw gets what it missed, or a `missed` event where the ring no longer reaches that far (or the service was restarted since).
//!
//! Publishing never waits and never fails: a slow listener loses events and is told so, never the daemon.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::Notify;

use super::Api;
use super::dto::{Event, EventKind, Time};

/// Events kept for listeners that come back: minutes of a busy folder, hours of a quiet one.
const EVENTS_KEPT_MAX: usize = 1024;

/// What is to be told; id and time are added on publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    kind: EventKind,
    folder: Option<String>,
    path: Option<String>,
    who: Option<String>,
    message: String,
}

impl News {
    /// News in plain English.
    pub fn new(kind: EventKind, message: impl Into<String>) -> Self {
        Self { kind, folder: None, path: None, who: None, message: message.into() }
    }

    /// About this folder (its id).
    pub fn folder(mut self, id: impl Into<String>) -> Self {
        self.folder = Some(id.into());
        self
    }

    /// About this file (its path within the folder).
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// About this member or seeder.
    pub fn who(mut self, who: impl Into<String>) -> Self {
        self.who = Some(who.into());
        self
    }
}

/// The ring.
#[derive(Debug)]
pub struct EventLog {
    /// Tells events of this run from those of an earlier one.
    run: String,
    ring: Mutex<Ring>,
    news: Notify,
    kept_max: usize,
}

#[derive(Debug, Default)]
struct Ring {
    /// Oldest first; the last has number `published`.
    events: VecDeque<Event>,
    published: u64,
}

impl EventLog {
    /// An empty ring; `run` is any text that no other run of the service uses.
    pub fn new(run: impl Into<String>) -> Arc<Self> {
        Self::holding(run, EVENTS_KEPT_MAX)
    }

    fn holding(run: impl Into<String>, kept_max: usize) -> Arc<Self> {
        Arc::new(Self { run: run.into(), ring: Mutex::default(), news: Notify::new(), kept_max })
    }

    /// Tells everybody.
    pub fn publish(&self, news: News) {
        let News { kind, folder, path, who, message } = news;
        {
            let mut ring = self.ring();
            ring.published += 1;
            let id = self.id(ring.published);
            if ring.events.len() == self.kept_max {
                ring.events.pop_front();
            }
            ring.events.push_back(Event { id, at: Time::now(), kind, folder, path, who, message });
        }
        self.news.notify_waiters();
    }

    /// Everything after the event with this id, then everything new; from now on without one.
    pub fn follow(self: &Arc<Self>, last_seen: Option<&str>) -> impl Stream<Item = Event> + Send + use<> {
        let after = match last_seen {
            None => Some(self.ring().published),
            Some(id) => self.number(id),
        };
        let start =
            Follower { log: self.clone(), after: after.unwrap_or(0), missed: after.is_none(), ready: VecDeque::new() };
        stream::unfold(start, |mut follower| async {
            let event = follower.next().await;
            Some((event, follower))
        })
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// The number in an id of this run.
    fn number(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok()?;
        (number <= self.ring().published).then_some(number)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener's place in the stream.
struct Follower {
    log: Arc<EventLog>,
    /// The last event it has.
    after: u64,
    /// The stream lost its thread before `after`.
    missed: bool,
    ready: VecDeque<Event>,
}

impl Follower {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let log = self.log.clone();
            // Registered before looking, so that news between looking and waiting wakes us.
            let news = log.news.notified();
            self.collect();
            if self.ready.is_empty() {
                news.await;
            }
        }
    }

    fn collect(&mut self) {
        let ring = self.log.ring();
        let oldest = ring.published - ring.events.len() as u64 + 1;
        if self.missed || self.after + 1 < oldest {
            let last_lost = oldest - 1;
            self.ready.push_back(Event {
                id: self.log.id(last_lost),
                at: Time::now(),
                kind: EventKind::Missed,
                folder: None,
                path: None,
                who: None,
                message: "earlier events are gone; read the status again".into(),
            });
            self.missed = false;
            self.after = last_lost;
        }
        let skip = (self.after + 1 - oldest) as usize;
        self.ready.extend(ring.events.iter().skip(skip).cloned());
        self.after = ring.published;
    }
}

/// Follow what happens, as server-sent events whose data is an `Event`.
#[utoipa::path(
    get,
    path = "/events",
    tag = "service",
    params(("Last-Event-ID" = Option<String>, Header, description = "resume after this event")),
    responses((status = 200, body = Event, content_type = "text/event-stream"))
)]
pub(super) async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let last_seen = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let stream =
        api.service.events().follow(last_seen).take_until(api.shutdown.clone().cancelled_owned()).map(|event| {
            let id = event.id.clone();
            Ok(sse::Event::default().id(id).json_data(&event).unwrap_or_default())
        });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn say(log: &EventLog, text: &str) {
        log.publish(News::new(EventKind::FolderChanged, text));
    }

    fn ready(stream: &mut (impl Stream<Item = Event> + Unpin)) -> Vec<String> {
        std::iter::from_fn(|| stream.next().now_or_never().flatten())
            .map(|e| if e.kind == EventKind::Missed { "(missed)".into() } else { e.message })
            .collect()
    }

    #[test]
    fn a_new_listener_hears_what_comes_and_not_what_was() {
        let log = EventLog::new("run");
        say(&log, "before");
        let mut stream = Box::pin(log.follow(None));
        assert!(ready(&mut stream).is_empty());
        say(&log, "one");
        say(&log, "two");
        assert_eq!(ready(&mut stream), ["one", "two"]);
    }

    #[test]
    fn a_listener_that_comes_back_hears_what_it_missed() {
        let log = EventLog::new("run");
        for text in ["one", "two", "three"] {
            say(&log, text);
        }
        assert_eq!(ready(&mut Box::pin(log.follow(Some("run-1")))), ["two", "three"]);
        assert!(ready(&mut Box::pin(log.follow(Some("run-3")))).is_empty());
    }

    #[test]
    fn a_gap_is_said_and_the_ring_stays_bounded() {
        let log = EventLog::holding("run", 2);
        let mut slow = Box::pin(log.follow(None));
        for n in 1..=5 {
            say(&log, &n.to_string());
        }
        assert_eq!(log.ring().events.len(), 2);
        assert_eq!(ready(&mut slow), ["(missed)", "4", "5"]);
        assert_eq!(ready(&mut Box::pin(log.follow(Some("run-1")))), ["(missed)", "4", "5"]);
        assert_eq!(ready(&mut Box::pin(log.follow(Some("run-3")))), ["4", "5"]);
    }

    #[test]
    fn the_id_of_an_earlier_run_or_nonsense_is_a_gap() {
        let log = EventLog::new("run");
        say(&log, "one");
        for id in ["old-1", "run-99", "run-", "", "run-x", "run"] {
            assert_eq!(ready(&mut Box::pin(log.follow(Some(id)))), ["(missed)", "one"], "{id:?}");
        }
    }
}
