//! What the agent keeps count of: metrics, and what of the verifier's log stands in the status.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use node_runtime::probe::Proof;
use policy::flatten::Flat;

use crate::agent::{Agent, Restarted, Wants};
use crate::hands::Done;
use crate::metrics::{self, Health, Leg, Metrics, Proved};
use crate::status::Failure;
use crate::verdicts::{OnNode, Progress, Unverified, Verdicts};

/// The books of one agent.
#[derive(Debug)]
pub struct Books {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    verdicts: Verdicts,
    /// How much drift was counted.
    drift: u64,
    /// The failure that was counted last.
    failure: Option<Failure>,
}

/// The most characters of a failure in a log line.
const LONGEST: usize = 1024;

impl Books {
    /// Goes on where an earlier agent stopped.
    #[must_use]
    pub fn open(agent: &Agent, metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        Self {
            metrics,
            health,
            verdicts: Verdicts::open(agent.root(), Timestamp::now()),
            drift: 0,
            failure: None,
        }
    }

    /// Takes in something that was done.
    pub fn done(&self, done: &Done) {
        match done {
            Done::Pulled(_) => {}
            Done::Restarted(restarted) => self.metrics.restarted(match restarted {
                Restarted::Done(_) => metrics::Restarted::Done,
                Restarted::Refused(_) | Restarted::Down(_) => metrics::Restarted::Failed,
            }),
            Done::Proven(_, proof) => self.proven(proof),
        }
    }

    fn proven(&self, proof: &Proof) {
        let (deny, allow, enforcing) = match proof {
            Proof::Enforcing => (Proved::Passed, Proved::Passed, metrics::Enforcing::Yes),
            Proof::Bypassed { .. } | Proof::StaleBundle { .. } => {
                (Proved::Failed, Proved::Unknown, metrics::Enforcing::No)
            }
            Proof::RefusesEverything { .. } => {
                (Proved::Passed, Proved::Failed, metrics::Enforcing::No)
            }
            Proof::Unknown { .. } => (
                Proved::Unknown,
                Proved::Unknown,
                metrics::Enforcing::Unknown,
            ),
        };
        let now = Timestamp::now();
        self.metrics.probed(Leg::Deny, deny, now);
        self.metrics.probed(Leg::Allow, allow, now);
        self.metrics.set_enforcing(enforcing);
        tracing::debug!(?enforcing, "a proof ended");
    }

    /// Takes in what came of a turn, before its status is told.
    pub fn turned(&mut self, agent: &mut Agent, wants: &Wants) {
        self.health.beat();
        self.metrics.set_stale_images(wants.stale.len());
        let report = agent.report();
        self.metrics.set_managed_files(report.files.len());
        self.metrics.set_bundle(report.bundle.as_ref());
        let bundle = report.bundle.as_ref().map(tracing::field::display);
        let put_back = agent.drift() - self.drift;
        if put_back > 0 {
            tracing::warn!(
                bundle,
                files = put_back,
                "files that others changed were put back"
            );
        }
        self.metrics.drifted(put_back);
        self.drift = agent.drift();
        let failure = report.failure.as_ref().map(|(failure, _)| *failure);
        if agent.has_applied() {
            let files = report.files.len();
            tracing::info!(bundle, files, "the node's files were changed");
            self.metrics.applied(metrics::Applied::Done);
            // Where a look fails after that, it is not known which are in force: none goes then.
            if let Some(table) = &agent.report().table {
                self.metrics.keep_policies(&policies(table));
            }
        }
        if failure != self.failure {
            if let Some((failure, why)) = &report.failure {
                let (reason, why) = (failure.as_str(), why.chars().take(LONGEST));
                let why = why.collect::<String>();
                tracing::warn!(
                    bundle,
                    reason,
                    why,
                    "the policies are not in force as asked"
                );
            }
            match failure {
                None | Some(Failure::Pending | Failure::StaleImages) => {}
                Some(Failure::RolledBack) => self.metrics.applied(metrics::Applied::RolledBack),
                Some(_) => self.metrics.applied(metrics::Applied::Failed),
            }
            self.failure = failure;
        }
        if failure.is_none() {
            self.health.set_applied();
        }
        self.read(agent);
    }

    /// Takes in what the verifier has logged meanwhile. True when the status changes by it.
    pub fn read(&mut self, agent: &mut Agent) -> bool {
        let now = Timestamp::now();
        let count = |record: &policy::verdicts::Record| self.metrics.verdict(record);
        match self.verdicts.read(agent.root(), now, count) {
            Ok(Progress { skipped, gap, .. }) => {
                if gap {
                    tracing::warn!("lines of the log of verdicts are lost, and not counted");
                }
                if skipped > 0 {
                    tracing::warn!("{skipped} lines of the log of verdicts cannot be read");
                }
            }
            Err(error) => tracing::warn!("the log of verdicts cannot be read: {error}"),
        }
        let refused = self.verdicts.refused(now);
        let images = agent.images().iter().map(|image| OnNode {
            tags: &image.tags,
            digests: &image.digests,
        });
        let unverified = match &agent.report().table {
            Some(table) => self.verdicts.unverified(images, table),
            None => Unverified::default(),
        };
        self.metrics.set_unverified_images(unverified.count);
        agent.observe(refused, unverified)
    }

    /// Before the agent ends.
    pub fn close(&mut self, agent: &Agent) {
        if let Err(error) = self.verdicts.save(agent.root(), Timestamp::now()) {
            tracing::warn!("what was read of the verdicts could not be kept: {error}");
        }
    }
}

/// The names of the policies in force, as the verifier writes them.
fn policies(table: &Flat) -> BTreeSet<String> {
    table
        .requirements()
        .keys()
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use policy::verdicts::{Kind, Record};

    use super::*;
    use crate::testing::Node;

    fn refused(policy: &str) -> Record {
        Record {
            time: Timestamp::UNIX_EPOCH,
            image: "a.example/app:1".to_owned(),
            digest: policy::digest::Digest::of(b"a").to_string(),
            verdict: Kind::Refused,
            reason: Some("NoSignature".to_owned()),
            policies: vec![policy.to_owned()],
            authorities: Vec::new(),
            duration_ms: 1,
            cached: false,
            line: String::new(),
        }
    }

    #[test]
    fn series_of_policies_stay_where_a_look_fails_and_go_with_their_policies() {
        let mut node = Node::new();
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::new(Duration::from_mins(1)));
        let mut books = Books::open(&node.agent, Arc::clone(&metrics), health);
        let has = |name: &str| {
            let text = metrics.encode().unwrap();
            text.contains(&format!("policy=\"{name}\""))
        };
        let wants = node.asked("a.example");
        for name in ["a", "gone"] {
            metrics.verdict(&refused(name));
            assert!(has(name), "{}", metrics.encode().unwrap());
        }
        // Files were changed, and before that is told another look fails.
        fs::remove_file(node.verifier()).unwrap();
        node.agent.bring();
        assert!(node.agent.report().failure.is_some() && node.agent.has_applied());
        books.turned(&mut node.agent, &wants);
        assert!(has("a") && has("gone"));
        fs::write(node.verifier(), "#!/bin/sh\nexit 0\n").unwrap();
        node.agent.bring();
        assert_eq!(node.agent.report().failure, None);
        books.turned(&mut node.agent, &wants);
        assert!(has("a") && !has("gone"));
    }
}
