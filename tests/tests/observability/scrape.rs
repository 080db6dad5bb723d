//! Asking a program over plain HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{ports, process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a program may take for anything.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Where a program serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target(pub(crate) SocketAddrV4);

impl Target {
    /// An address that is free.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(ports::free()?))
    }

    /// The status and the body; an error while nobody listens.
    pub(crate) async fn get(self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.0).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let code = head.split(' ').nth(1).context("no status")?;
        Ok((code.parse()?, body.to_owned()))
    }

    /// What is counted.
    pub(crate) async fn metrics(self) -> Result<Metrics> {
        let (code, text) = self.get("/metrics").await?;
        ensure!(code == 200, "{code}: {text}");
        Ok(Metrics(text))
    }

    /// Waits until a page answers `code`, and returns what it says.
    pub(crate) async fn answers(self, path: &str, code: u16) -> Result<String> {
        let mut last = None;
        let what = format!("{path} to answer {code}");
        let found = process::wait_for(&what, SOON, async || {
            let answer = self.get(path).await.ok();
            let found = answer.clone().filter(|(is, _)| *is == code);
            last = answer;
            Ok(found.map(|(_, body)| body))
        })
        .await;
        found.with_context(|| format!("{last:?}"))
    }

    /// Waits until the metrics are as they should be.
    pub(crate) async fn until(self, what: &str, is: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let mut last = None;
        let found = process::wait_for(what, SOON, async || {
            let Ok(metrics) = self.metrics().await else {
                return Ok(None);
            };
            let good = is(&metrics);
            last = Some(metrics.0.clone());
            Ok(good.then_some(metrics))
        })
        .await;
        found.with_context(|| last.unwrap_or_default())
    }
}

/// What was served, in Prometheus' own format.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The value of a series, such as `up` or `a{b="c"}`.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let mut lines = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        let found = lines.find(|(name, _)| *name == series)?;
        found.1.parse().ok()
    }

    /// Whether the series has this value.
    pub(crate) fn is(&self, series: &str, value: f64) -> bool {
        let found = self.value(series);
        found.is_some_and(|found| (found - value).abs() < 1e-9)
    }

    /// The names of all series.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let names = lines.filter_map(|line| line.split(['{', ' ']).next());
        names.map(str::to_owned).collect()
    }
}
