//! What the API server was asked, by its own count.

use std::collections::BTreeMap;
use std::ops::Sub;

use anyhow::{Context as _, Result};
use kube::Client;
use kube::api::ListParams;

/// Verbs that write.
const WRITES: [&str; 6] = [
    "POST",
    "PUT",
    "PATCH",
    "APPLY",
    "DELETE",
    "DELETECOLLECTION",
];

/// Verb, resource, and subresource, empty where there is none.
pub type What = (String, String, String);

/// How often what was asked, and how many bytes that came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests that were accepted or refused, of the product's kinds, nodes, leases and events.
    pub counts: BTreeMap<What, u64>,
    /// Those that the API server was too busy for.
    pub refused: u64,
    /// Bytes of answers, watches left out.
    pub answered: u64,
    /// Bytes of events in watches.
    pub watched: u64,
}

impl Requests {
    /// As the API server counts them now.
    pub async fn read(client: &Client) -> Result<Self> {
        let mut request = kube::core::Request::new("/metrics").list(&ListParams::default())?;
        *request.uri_mut() = "/metrics".parse()?;
        let text = client.request_text(request).await;
        Self::parse(&text.context("read the API server's metrics")?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let number = || value.parse::<f64>().with_context(|| format!("`{line}`"));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counters"
            )]
            match name {
                "apiserver_request_total" if is_ours(labels) => {
                    let what = |key| label(labels, key).to_owned();
                    let key = (what("verb"), what("resource"), what("subresource"));
                    *all.counts.entry(key).or_default() += number()? as u64;
                    if label(labels, "code") == "429" {
                        all.refused += number()? as u64;
                    }
                }
                "apiserver_response_sizes_sum" if is_ours(labels) => {
                    all.answered += number()? as u64;
                }
                "apiserver_watch_events_sizes_sum" => all.watched += number()? as u64,
                _ => {}
            }
        }
        Ok(all)
    }

    /// How many with this verb, resource and subresource.
    #[must_use]
    pub fn of(&self, verb: &str, resource: &str, subresource: &str) -> u64 {
        let key = (verb.to_owned(), resource.to_owned(), subresource.to_owned());
        self.counts.get(&key).copied().unwrap_or_default()
    }

    /// How many write to the product's kinds, or create events.
    #[must_use]
    pub fn writes(&self) -> u64 {
        let is_write = |what: &&What| {
            let (verb, resource, _) = what;
            WRITES.contains(&verb.as_str()) && resource != "nodes" && resource != "leases"
        };
        let writes = self.counts.iter().filter(|(what, _)| is_write(what));
        writes.map(|(_, count)| count).sum()
    }

    /// The same but for what is tidied up: bundles that nothing refers to any more are deleted a minute
    /// later, whatever happens by then.
    #[must_use]
    pub fn writes_but_tidying(&self) -> u64 {
        self.writes() - self.of("DELETE", "policybundles", "")
    }

    /// How many of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Sub for &Requests {
    type Output = Requests;

    /// What came since `before`.
    fn sub(self, before: &Requests) -> Requests {
        let counts = self.counts.iter().map(|(what, count)| {
            let before = before.counts.get(what).copied().unwrap_or_default();
            (what.clone(), count.saturating_sub(before))
        });
        Requests {
            counts: counts.filter(|(_, count)| *count > 0).collect(),
            refused: self.refused.saturating_sub(before.refused),
            answered: self.answered.saturating_sub(before.answered),
            watched: self.watched.saturating_sub(before.watched),
        }
    }
}

fn is_ours(labels: &str) -> bool {
    let group = label(labels, "group");
    let resource = label(labels, "resource");
    group == "nodeseal.dev"
        || (group == "events.k8s.io" && resource == "events")
        || (group.is_empty() && resource == "nodes")
        || resource == "leases"
}

fn label<'a>(labels: &'a str, key: &str) -> &'a str {
    let mut found = labels.split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        (name == key).then(|| value.trim_end_matches('}').trim_matches('"'))
    });
    found.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# HELP apiserver_request_total x
apiserver_request_total{code="200",component="apiserver",dry_run="",group="nodeseal.dev",resource="nodeimagepolicies",scope="resource",subresource="",verb="APPLY",version="v1alpha1"} 12
apiserver_request_total{code="429",component="apiserver",dry_run="",group="nodeseal.dev",resource="nodeimagepolicies",scope="resource",subresource="",verb="APPLY",version="v1alpha1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 5
apiserver_request_total{code="200",group="nodeseal.dev",resource="nodeimagepolicies",subresource="status",verb="APPLY"} 3
apiserver_request_total{code="200",group="nodeseal.dev",resource="policybundles",subresource="",verb="DELETE"} 2
apiserver_response_sizes_sum{group="nodeseal.dev",resource="nodeimagepolicies",verb="APPLY"} 1.5e+06
"#;

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        let read = Requests::parse(METRICS).unwrap();
        assert_eq!(read.of("APPLY", "nodeimagepolicies", ""), 13);
        assert_eq!(read.of("APPLY", "nodeimagepolicies", "status"), 3);
        assert_eq!((read.writes(), read.writes_but_tidying()), (18, 16));
        assert_eq!((read.refused, read.answered), (1, 1_500_000));
        assert_eq!((&read - &read).total(), 0);
    }
}
