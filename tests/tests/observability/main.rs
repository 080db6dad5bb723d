//! What the operator and the agent tell of themselves, as Prometheus takes it: the real programs are
//! scraped, and the real promtool judges what they serve, the alert rules and the dashboard.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests"
)]

mod agent;
mod dashboard;
#[path = "../operator/lab.rs"]
#[allow(
    dead_code,
    reason = "it is shared with other tests, which use more of it"
)]
mod lab;
mod operator;
mod promtool;
mod rules;
mod scrape;
