//! Whether the operator is at work, and what it serves of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use telemetry::{Page, Pages, Pulse};

use crate::metrics::Metrics;

/// Without a turn of the main loop for so long it is stuck.
const STUCK: Duration = Duration::from_mins(1);
/// Without an answer of the API server for so long it counts as gone. The lease alone makes several
/// requests a minute.
const GONE: Duration = Duration::from_mins(2);

/// What `/healthz` and `/readyz` answer by.
#[derive(Debug)]
pub(crate) struct Health {
    /// Whether the main loop has begun: until then the API server is waited for.
    begun: AtomicBool,
    turned: Pulse,
    reached: AtomicBool,
    answered: Pulse,
    synced: AtomicBool,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            begun: AtomicBool::new(false),
            turned: Pulse::new(),
            reached: AtomicBool::new(false),
            answered: Pulse::new(),
            synced: AtomicBool::new(false),
        }
    }

    /// The main loop has turned over.
    pub(crate) fn beat(&self, synced: bool) {
        self.beat_at(Instant::now(), synced);
    }

    fn beat_at(&self, now: Instant, synced: bool) {
        self.turned.beat_at(now);
        self.synced.store(synced, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
    }

    /// The API server has answered.
    pub(crate) fn reached(&self) {
        self.reached_at(Instant::now());
    }

    fn reached_at(&self, now: Instant) {
        self.answered.beat_at(now);
        self.reached.store(true, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn forget_reached(&self) {
        self.reached.store(false, Ordering::Relaxed);
    }

    /// Why the process had better be started again, if so.
    fn ill(&self, now: Instant) -> Option<String> {
        let begun = self.begun.load(Ordering::Relaxed);
        let silent = self.turned.silent_for(now, STUCK).filter(|_| begun)?;
        let seconds = silent.as_secs();
        Some(format!("the main loop has not turned over for {seconds} s"))
    }

    /// Why it cannot do its work, if so. Whether it leads does not matter: one that does not can take
    /// over at once.
    pub(crate) fn unready(&self, now: Instant) -> Option<String> {
        if let Some(why) = self.ill(now) {
            return Some(why);
        }
        if !self.reached.load(Ordering::Relaxed) {
            return Some("the API server has not answered yet".to_owned());
        }
        if let Some(silent) = self.answered.silent_for(now, GONE) {
            let seconds = silent.as_secs();
            return Some(format!("the API server has not answered for {seconds} s"));
        }
        let synced = self.synced.load(Ordering::Relaxed);
        (!synced).then(|| "not everything was listed yet".to_owned())
    }
}

/// What is served. Nothing secret stands there.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) health: Arc<Health>,
    /// Only where they were asked for.
    pub(crate) metrics: Option<Arc<Metrics>>,
}

impl Pages for Endpoints {
    fn page(&self, path: &str, now: Instant) -> Option<Page> {
        let well = |why: Option<String>| why.map_or(Page::Ok, Page::Unavailable);
        match path {
            "/healthz" => Some(well(self.health.ill(now))),
            "/readyz" => Some(well(self.health.unready(now))),
            "/metrics" => {
                let text = self.metrics.as_ref()?.encode();
                let failed = |error| format!("the metrics could not be written: {error}");
                Some(text.map_or_else(|error| Page::Unavailable(failed(error)), Page::Metrics))
            }
            _ => None,
        }
    }

    fn index(&self) -> &'static str {
        match self.metrics {
            Some(_) => "here are /metrics, /healthz and /readyz",
            None => "here are /healthz and /readyz; metrics are where --metrics-address says",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> (Endpoints, Instant) {
        let endpoints = Endpoints {
            health: Arc::new(Health::new()),
            metrics: None,
        };
        (endpoints, Instant::now())
    }

    fn unavailable(endpoints: &Endpoints, path: &str, now: Instant) -> String {
        match endpoints.page(path, now) {
            Some(Page::Unavailable(why)) => why,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn it_is_ready_once_the_api_server_has_answered_and_everything_was_listed() {
        let (endpoints, now) = endpoints();
        assert_eq!(endpoints.page("/healthz", now), Some(Page::Ok));
        let why = unavailable(&endpoints, "/readyz", now);
        assert_eq!(why, "the API server has not answered yet");
        endpoints.health.reached_at(now);
        endpoints.health.beat_at(now, false);
        let why = unavailable(&endpoints, "/readyz", now);
        assert_eq!(why, "not everything was listed yet");
        endpoints.health.beat_at(now, true);
        assert_eq!(endpoints.page("/readyz", now), Some(Page::Ok));
    }

    #[test]
    fn a_main_loop_that_does_not_turn_over_is_neither_healthy_nor_ready() {
        let (endpoints, now) = endpoints();
        let later = now + Duration::from_mins(10);
        // It still waits for the API server, and to start again would not help.
        assert_eq!(endpoints.page("/healthz", later), Some(Page::Ok));
        endpoints.health.beat_at(now, true);
        endpoints.health.reached_at(later);
        for path in ["/healthz", "/readyz"] {
            let why = unavailable(&endpoints, path, later);
            let is = "the main loop has not turned over for ";
            assert!(why.starts_with(is), "{why}");
        }
        endpoints.health.beat_at(later, true);
        assert_eq!(endpoints.page("/healthz", later), Some(Page::Ok));
        assert_eq!(endpoints.page("/readyz", later), Some(Page::Ok));
    }

    #[test]
    fn an_api_server_that_does_not_answer_for_long_makes_it_unready_but_not_unhealthy() {
        let (endpoints, now) = endpoints();
        endpoints.health.reached_at(now);
        for (seconds, ready) in [(115, true), (125, false)] {
            let later = now + Duration::from_secs(seconds);
            endpoints.health.beat_at(later, true);
            assert_eq!(endpoints.page("/healthz", later), Some(Page::Ok));
            let page = endpoints.page("/readyz", later);
            assert_eq!(page == Some(Page::Ok), ready, "{page:?}");
        }
        let later = now + Duration::from_secs(125);
        let why = unavailable(&endpoints, "/readyz", later);
        assert!(
            why.starts_with("the API server has not answered for 12"),
            "{why}"
        );
    }

    #[test]
    fn metrics_are_where_they_were_asked_for_only() {
        let (mut endpoints, now) = endpoints();
        assert_eq!(endpoints.page("/metrics", now), None);
        endpoints.metrics = Some(Metrics::new());
        let page = endpoints.page("/metrics", now);
        assert!(matches!(page, Some(Page::Metrics(_))), "{page:?}");
        assert_eq!(endpoints.page("/", now), None);
    }
}
