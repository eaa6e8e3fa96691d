//! What happens to a datagram on its way from one machine to another: lost, late, early, twice, too big, or queued behind others. Decides;
//! carries nothing. The n-th datagram of a way always meets the same fate in the same weather; which datagram that is, is the machines' own.

use std::time::{Duration, Instant};

use crate::dice::Dice;

/// What waits before a slow way at most; more is dropped, as routers do.
const QUEUE: Duration = Duration::from_millis(400);

/// The weather on one way, in one direction. The default is a clear day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// Nothing passes.
    pub cut: bool,
    /// Of a thousand datagrams so many are lost.
    pub loss: u16,
    /// Of a thousand so many arrive twice.
    pub twice: u16,
    /// Of a thousand so many are held up until others have overtaken them.
    pub overtaken: u16,
    /// How long each is on its way.
    pub delay: Duration,
    /// ... and up to so much longer. That alone does not change their order.
    pub jitter: Duration,
    /// Bytes a second that fit through. What can not wait any longer is dropped.
    pub rate: Option<u64>,
    /// Larger ones disappear, and nobody is told: a black hole.
    pub bytes_max: Option<usize>,
}

impl Weather {
    /// Nothing passes.
    pub const CUT: Self = Self {
        cut: true,
        loss: 0,
        twice: 0,
        overtaken: 0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        rate: None,
        bytes_max: None,
    };

    /// A clear day on which so many bytes a second fit through.
    pub fn rate(bytes_per_second: u64) -> Self {
        Self { rate: Some(bytes_per_second), ..Self::default() }
    }
}

/// What went one way so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Datagrams that somebody sent.
    pub sent: u64,
    /// Their bytes, headers included.
    pub sent_bytes: u64,
    /// Datagrams that will not arrive.
    pub dropped: u64,
}

/// One way.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) weather: Weather,
    pub(super) passed: Passed,
    dice: Dice,
    /// When the slowest piece of the way is free again.
    free_at: Instant,
    /// When the last one arrives that keeps its place.
    last_due: Instant,
}

impl Line {
    pub(super) fn new(dice: Dice, now: Instant) -> Self {
        Self { weather: Weather::default(), passed: Passed::default(), dice, free_at: now, last_due: now }
    }

    /// When a datagram of this size arrives that is sent now: never, once, or twice.
    pub(super) fn carry(&mut self, now: Instant, bytes: usize) -> Vec<Instant> {
        let weather = self.weather;
        self.passed.sent += 1;
        self.passed.sent_bytes += bytes as u64;
        // As many for each, whatever the weather: a change of one fault does not change the others.
        let [loss, twice, overtaken] = [(); 3].map(|()| self.dice.below(1000) as u16);
        let jitter = self.dice.within(weather.jitter);
        let begins = now.max(self.free_at);
        let too_big = weather.bytes_max.is_some_and(|most| bytes > most);
        let no_room = weather.rate.is_some() && begins - now > QUEUE;
        if weather.cut || too_big || no_room || loss < weather.loss {
            self.passed.dropped += 1;
            return Vec::new();
        }
        let through = weather.rate.map_or(now, |rate| begins + Duration::from_secs_f64(bytes as f64 / rate as f64));
        self.free_at = through;
        let mut due = through + weather.delay + jitter;
        if overtaken < weather.overtaken {
            due += weather.delay / 4 + Duration::from_millis(5);
        } else {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        if twice < weather.twice { vec![due, due + Duration::from_millis(3)] } else { vec![due] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, weather: Weather, count: usize) -> Vec<Vec<Duration>> {
        let now = Instant::now();
        let mut line = Line::new(Dice::new(seed), now);
        line.weather = weather;
        let at = |due: Instant| due - now;
        (0..count).map(|_| line.carry(now, 1000).into_iter().map(at).collect()).collect()
    }

    fn bad() -> Weather {
        let (delay, jitter) = (Duration::from_millis(150), Duration::from_millis(30));
        Weather { loss: 200, twice: 20, overtaken: 50, delay, jitter, ..Weather::default() }
    }

    #[test]
    fn the_same_seed_brings_the_same_weather() {
        assert_eq!(fates(7, bad(), 500), fates(7, bad(), 500));
        assert_ne!(fates(7, bad(), 500), fates(8, bad(), 500));
    }

    #[test]
    fn about_as_many_are_lost_doubled_and_overtaken_as_asked_for() {
        let fates = fates(1, bad(), 20_000);
        let lost = fates.iter().filter(|dues| dues.is_empty()).count();
        let doubled = fates.iter().filter(|dues| dues.len() == 2).count();
        assert!((3700..4300).contains(&lost) && (240..400).contains(&doubled), "{lost} {doubled}");
        let dues: Vec<Duration> = fates.iter().filter_map(|dues| dues.first().copied()).collect();
        let overtaken = dues.windows(2).filter(|two| two[1] < two[0]).count();
        assert!((500..1000).contains(&overtaken), "{overtaken}");
        assert!(dues.iter().all(|due| (150..=230).contains(&due.as_millis())));
    }

    #[test]
    fn jitter_alone_keeps_the_order() {
        let dues: Vec<_> = fates(3, Weather { overtaken: 0, loss: 0, twice: 0, ..bad() }, 1000).concat();
        assert!(dues.len() == 1000 && dues.is_sorted());
    }

    #[test]
    fn a_slow_way_takes_its_time_and_drops_what_can_not_wait() {
        let fates = fates(3, Weather::rate(100_000), 100);
        let arrived: Vec<_> = fates.concat();
        assert!((40..45).contains(&arrived.len()), "{} arrived", arrived.len());
        assert_eq!(arrived[9].as_millis(), 100);
    }

    #[test]
    fn a_black_hole_takes_what_is_too_big_and_a_cut_takes_all() {
        assert!(fates(3, Weather { bytes_max: Some(999), ..Weather::default() }, 9).concat().is_empty());
        assert_eq!(fates(3, Weather { bytes_max: Some(1000), ..Weather::default() }, 9).concat().len(), 9);
        assert!(fates(3, Weather::CUT, 9).concat().is_empty());
    }
}
