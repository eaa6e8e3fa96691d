//! How fast to send, by the distance of the path. Cubic fills a local network (1 GB/s against 242 MB/s of BBRv3 on
//! loopback) but collapses under random loss (0.4 MB/s against 8 at 1 % loss and 50 ms). Addresses do not tell how far a
//! peer is, round trips do: [`ByDistance`] runs both controllers over a path's first acknowledgements and keeps one.
//!
//! Invariant: the dropped controller is never asked again; the kept one has seen every event of its path.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use noq_proto::RttEstimator;
use noq_proto::congestion::{Bbr3Config, Controller, ControllerFactory, ControllerMetrics, CubicConfig};

/// Paths with a shorter round trip are near: loopback and local networks.
pub(crate) const NEAR_RTT_MAX: Duration = Duration::from_millis(2);
/// Batches of acknowledgements looked at before choosing. The first ones carry the cost of the handshake.
const BATCHES_BEFORE_CHOICE: u32 = 32;

/// Makes a [`ByDistance`] for every path.
#[derive(Debug, Default)]
pub(crate) struct ByDistanceConfig;

impl ControllerFactory for ByDistanceConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let near = Arc::new(CubicConfig::default()).build(now, current_mtu);
        let far = Arc::new(Bbr3Config::default()).build(now, current_mtu);
        Box::new(ByDistance { current: near, far: Some(far), rtt_min: Duration::MAX, batches: 0 })
    }
}

/// Cubic on near paths, BBRv3 on far ones.
#[derive(Debug)]
pub(crate) struct ByDistance {
    current: Box<dyn Controller>,
    /// Present until the choice is made.
    far: Option<Box<dyn Controller>>,
    rtt_min: Duration,
    batches: u32,
}

impl ByDistance {
    fn each(&mut self, mut event: impl FnMut(&mut dyn Controller)) {
        event(self.current.as_mut());
        if let Some(far) = &mut self.far {
            event(far.as_mut());
        }
    }

    fn choose_when_known(&mut self) {
        self.batches += 1;
        if self.batches < BATCHES_BEFORE_CHOICE {
            return;
        }
        if let Some(far) = self.far.take()
            && self.rtt_min > NEAR_RTT_MAX
        {
            self.current = far;
        }
    }
}

impl Controller for ByDistance {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.each(|c| c.on_sent(now, bytes, largest_pn));
    }
    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.each(|c| c.on_packet_sent(now, bytes, pn));
    }
    fn on_cwnd_limited(&mut self) {
        self.each(|c| c.on_cwnd_limited());
    }
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, pn: u64, app_limited: bool, rtt: &RttEstimator) {
        self.rtt_min = self.rtt_min.min(rtt.min());
        self.each(|c| c.on_ack(now, sent, bytes, pn, app_limited, rtt));
    }
    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.each(|c| c.on_end_acks(now, in_flight, app_limited, largest_acked));
        if self.far.is_some() {
            self.choose_when_known();
        }
    }
    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.each(|c| c.on_congestion_event(now, sent, is_persistent_congestion, is_ecn, lost_bytes, largest_lost_pn));
    }
    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.each(|c| c.on_packet_lost(lost_bytes, pn, now));
    }
    fn on_spurious_congestion_event(&mut self) {
        self.each(|c| c.on_spurious_congestion_event());
    }
    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.each(|c| c.on_mtu_update(new_mtu));
    }
    fn on_ack_frequency_update(&mut self, ack_eliciting_threshold: u64, requested_max_ack_delay: Duration) {
        self.each(|c| c.on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay));
    }
    fn window(&self) -> u64 {
        self.current.window()
    }
    fn metrics(&self) -> ControllerMetrics {
        self.current.metrics()
    }
    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            current: self.current.clone_box(),
            far: self.far.as_ref().map(|far| far.clone_box()),
            rtt_min: self.rtt_min,
            batches: self.batches,
        })
    }
    fn initial_window(&self) -> u64 {
        self.current.initial_window()
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noq_proto::congestion::{Bbr3, Cubic};

    fn after_batches(batches: u32, rtt_min: Duration) -> ByDistance {
        let now = Instant::now();
        let boxed = Arc::new(ByDistanceConfig).build(now, 1200);
        let mut controller = *boxed.into_any().downcast::<ByDistance>().unwrap();
        controller.rtt_min = rtt_min;
        for pn in 0..u64::from(batches) {
            controller.on_packet_sent(now, 1200, pn);
            controller.on_end_acks(now, 0, false, None);
        }
        controller
    }

    #[test]
    fn a_near_path_keeps_cubic_and_a_far_one_turns_to_bbr() {
        let near = after_batches(BATCHES_BEFORE_CHOICE, Duration::from_micros(300));
        assert!(near.far.is_none() && near.current.into_any().is::<Cubic>());
        let far = after_batches(BATCHES_BEFORE_CHOICE, Duration::from_millis(20));
        assert!(far.far.is_none() && far.current.into_any().is::<Bbr3>());
    }

    #[test]
    fn nothing_is_chosen_before_enough_was_seen() {
        let young = after_batches(BATCHES_BEFORE_CHOICE - 1, Duration::from_millis(20));
        assert!(young.far.is_some());
        let copy = *young.clone_box().into_any().downcast::<ByDistance>().unwrap();
        assert!(copy.far.is_some(), "a migrated path goes on choosing");
    }
}
