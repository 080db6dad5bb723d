//! What is served of the agent.

use std::sync::Arc;
use std::time::Instant;

use telemetry::Page;

use super::{Health, Metrics};

/// `/metrics`, `/healthz` and `/readyz`. Nothing secret stands there.
#[derive(Debug)]
pub struct Pages {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Pages {
    /// Those of an agent with these metrics and this health.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        Self { metrics, health }
    }
}

impl telemetry::Pages for Pages {
    fn page(&self, path: &str, now: Instant) -> Option<Page> {
        let page = match path {
            "/metrics" => match self.metrics.encode() {
                Ok(text) => Page::Metrics(text),
                Err(error) => {
                    Page::Unavailable(format!("the metrics could not be written: {error}"))
                }
            },
            "/healthz" => match self.health.stuck_for(now) {
                None => Page::Ok,
                Some(age) => {
                    let age = age.as_secs();
                    Page::Unavailable(format!("the agent has not looked at the node for {age} s"))
                }
            },
            "/readyz" if self.health.is_ready() => Page::Ok,
            "/readyz" => Page::Unavailable("no policies were applied yet".to_owned()),
            _ => return None,
        };
        Some(page)
    }

    fn index(&self) -> &'static str {
        "here are /metrics, /healthz and /readyz"
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use telemetry::Pages as _;
    use telemetry::exposition::parse;

    use super::*;

    #[test]
    fn an_agent_tells_of_its_metrics_its_health_and_whether_it_is_ready() {
        let health = Arc::new(Health::new(Duration::from_mins(1)));
        let pages = Pages::new(Arc::default(), Arc::clone(&health));
        let now = Instant::now();
        assert_eq!(pages.page("/healthz", now), Some(Page::Ok));
        let later = now + Duration::from_hours(1);
        let Some(Page::Unavailable(why)) = pages.page("/healthz", later) else {
            panic!("it is stuck")
        };
        assert!(why.contains("has not looked at the node for 3"), "{why}");
        let why = Page::Unavailable("no policies were applied yet".to_owned());
        assert_eq!(pages.page("/readyz", now), Some(why));
        health.set_applied();
        assert_eq!(pages.page("/readyz", now), Some(Page::Ok));
        let Some(Page::Metrics(text)) = pages.page("/metrics", now) else {
            panic!("metrics")
        };
        assert!(parse(&text).contains_key("nodeseal_agent_enforcing"));
        assert_eq!(pages.page("/", now), None);
    }
}
