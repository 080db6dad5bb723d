//! What a change costs the API server, at 10, 100 and 200 nodes: real control plane, operator and agents'
//! loop. Requests are counted, by the API server itself; times are for `cargo xtask bench cluster`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::simulated::cluster::Usage;
use e2e::simulated::{Agents, Cluster, Deed, Operator, Recorder, Requests, cluster};
use serde_json::json;

/// How many policies select all nodes; as many select the pool `b`.
const POLICIES: usize = 10;
/// How long anything may take on a machine that is busy.
const LIMIT: Duration = Duration::from_mins(4);
/// Longer than changes of mere counts are gathered.
const QUIET: Duration = Duration::from_secs(12);
/// What a change costs besides two writes for each node: the bundles of both pools, and the steps of
/// the policy's own status.
const BESIDES: u64 = 30;

/// One after the other, as one cluster that grows.
#[tokio::test]
async fn a_change_costs_two_writes_for_each_node_at_every_size_and_rest_costs_none() -> Result<()> {
    let mut scale = Scale::start().await?;
    let mut costs = Vec::new();
    for (nodes, own_tokens) in [(10, true), (100, false), (200, false)] {
        scale.grow(nodes, own_tokens).await?;
        costs.push((nodes, scale.one_change(nodes).await?));
        scale.rest(nodes).await?;
    }
    // The growth of writes is that of nodes.
    for pair in costs.windows(2) {
        let ((few, less), (many, more)) = (&pair[0], &pair[1]);
        let each = 2 * u64::try_from(many - few)?;
        let growth = more
            .writes_but_tidying()
            .saturating_sub(less.writes_but_tidying());
        ensure!(
            growth <= each + BESIDES,
            "from {few} to {many} nodes: {growth} writes more\n{less:#?}\n{more:#?}"
        );
    }
    scale.one_joins(200).await?;
    Ok(())
}

struct Scale {
    cluster: Cluster,
    agents: Agents,
    operator: Option<Operator>,
    recorder: Recorder,
    revision: usize,
}

impl Scale {
    async fn start() -> Result<Self> {
        let mut cluster = Cluster::start().await?;
        // All at once: how few at a time it can be is not what is counted here.
        cluster
            .configure(&json!({ "maxUnavailable": "100%" }))
            .await?;
        for number in 0..POLICIES {
            cluster.apply(number, 0, None).await?;
            cluster.apply(POLICIES + number, 0, Some("b")).await?;
        }
        let operator = cluster.operator().await?;
        operator.ready().await?;
        Ok(Self {
            agents: Agents::new(|_, _| Deed::Applies(Duration::from_millis(20))),
            operator: Some(operator),
            recorder: Recorder::start(cluster.client.clone()),
            revision: 0,
            cluster,
        })
    }

    /// Lets nodes join until there are so many.
    async fn grow(&mut self, nodes: usize, own_tokens: bool) -> Result<()> {
        let from = self.agents.count();
        let before = Requests::read(&self.cluster.client).await?;
        self.cluster.join(from..nodes).await?;
        for number in from..nodes {
            let name = Cluster::node(number);
            let client = if own_tokens {
                self.cluster.agent_client(&name).await?
            } else {
                self.cluster.client.clone()
            };
            self.agents.start(client, &name);
        }
        self.settled(nodes).await?;
        let cost = &self.cluster.quiet(QUIET, LIMIT).await? - &before;
        let new = u64::try_from(nodes - from)?;
        println!("{new} nodes join: {:?}", cost.counts);
        // What it is given first, and what it says of that. A look that sees only some of the nodes
        // may give those another bundle only if another policy came: none did.
        ensure!(
            cost.of("APPLY", "nodeimagepolicies", "") == new,
            "{cost:#?}"
        );
        ensure!(
            cost.of("APPLY", "nodeimagepolicies", "status") == new,
            "{cost:#?}"
        );
        Ok(())
    }

    async fn settled(&self, nodes: usize) -> Result<()> {
        for number in 0..POLICIES {
            self.cluster.programmed(number, nodes, LIMIT).await?;
            self.cluster
                .programmed(POLICIES + number, nodes / 2, LIMIT)
                .await?;
        }
        Ok(())
    }

    /// One policy changes.
    async fn one_change(&mut self, nodes: usize) -> Result<Requests> {
        let others = self.policy_versions().await?;
        let before = Requests::read(&self.cluster.client).await?;
        self.recorder.begin();
        self.revision += 1;
        self.cluster.apply(0, self.revision, None).await?;
        self.cluster.programmed(0, nodes, LIMIT).await?;
        let cost = &self.cluster.quiet(QUIET, LIMIT).await? - &before;
        println!("{nodes} nodes, one change: {:?}", cost.counts);
        self.recorder.check_no_way_back()?;

        let count = u64::try_from(nodes)?;
        let both = [
            cost.of("APPLY", "nodeimagepolicies", ""),
            cost.of("APPLY", "nodeimagepolicies", "status"),
        ];
        ensure!(both == [count, count], "{cost:#?}");
        ensure!(
            cost.writes_but_tidying() <= 2 * count + BESIDES,
            "{cost:#?}"
        );
        ensure!(cost.of("GET", "policybundles", "") <= count, "{cost:#?}");
        // The other policies are in the same bundles, and nothing about them has changed.
        let now = self.policy_versions().await?;
        for (name, version) in others.iter().filter(|(name, _)| *name != "p-0000") {
            ensure!(now.get(name) == Some(version), "{name} was rewritten");
        }
        Ok(cost)
    }

    /// Nothing happens, and the operator starts anew: nothing is written.
    async fn rest(&mut self, nodes: usize) -> Result<()> {
        let versions = self.cluster.versions().await?;
        let before = Requests::read(&self.cluster.client).await?;
        tokio::time::sleep(QUIET).await;
        let cost = &Requests::read(&self.cluster.client).await? - &before;
        println!("{nodes} nodes at rest for {QUIET:?}: {:?}", cost.counts);
        ensure!(cost.writes_but_tidying() == 0, "{cost:#?}");

        if let Some(operator) = self.operator.take() {
            let Usage { peak, cpu, .. } = cluster::usage(operator.process.id())?;
            println!("the operator has used {} kB and {cpu:?}", peak / 1024);
            operator.terminate().await?;
        }
        let operator = self.cluster.operator().await?;
        operator.ready().await?;
        self.cluster.leads(&operator).await?;
        tokio::time::sleep(QUIET).await;
        let cost = &Requests::read(&self.cluster.client).await? - &before;
        ensure!(
            cost.writes_but_tidying() == 0,
            "{cost:#?}\n{}",
            operator.process.log()
        );
        ensure!(
            self.cluster.versions().await? == versions,
            "a restart wrote something"
        );
        self.operator = Some(operator);
        Ok(())
    }

    /// A node of the pool `a` joins: policies that do not select it are not rewritten, and those that do
    /// are, once, for their counts.
    async fn one_joins(&mut self, nodes: usize) -> Result<()> {
        let others = self.policy_versions().await?;
        let before = Requests::read(&self.cluster.client).await?;
        self.cluster.join(nodes..=nodes).await?;
        let name = Cluster::node(nodes);
        self.agents.start(self.cluster.client.clone(), &name);
        for number in 0..POLICIES {
            self.cluster.programmed(number, nodes + 1, LIMIT).await?;
        }
        let cost = &self.cluster.quiet(QUIET, LIMIT).await? - &before;
        println!("one node joins {nodes}: {:?}", cost.counts);
        ensure!(cost.of("APPLY", "nodeimagepolicies", "") == 1, "{cost:#?}");
        ensure!(
            cost.of("APPLY", "nodeimagepolicies", "status") == 1,
            "{cost:#?}"
        );
        // Selected, and then updated: both are gathered, and may come apart.
        let most = 2 * u64::try_from(POLICIES)?;
        let statuses = cost.of("APPLY", "clusterimagesignaturepolicies", "status");
        ensure!(statuses <= most, "{cost:#?}");
        let now = self.policy_versions().await?;
        for number in POLICIES..2 * POLICIES {
            let name = format!("p-{number:04}");
            ensure!(now.get(&name) == others.get(&name), "{name} was rewritten");
        }
        Ok(())
    }

    async fn policy_versions(&self) -> Result<BTreeMap<String, String>> {
        let all = self.cluster.versions().await?.into_iter();
        Ok(all.filter(|(name, _)| name.starts_with("p-")).collect())
    }
}
