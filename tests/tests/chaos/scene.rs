//! A cluster in which nodes change, slowly enough that something can go wrong meanwhile.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::NodeImagePolicy;
use e2e::operator::NAMESPACE;
use e2e::process;
use e2e::simulated::{Agents, Cluster, Deed, Operator, Recorder, Requests};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use xtask::product::Product;

pub(crate) const NODES: usize = 20;
const POLICIES: usize = 4;
/// How long anything may take on a machine that is busy.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);
/// How many nodes may be in change at once, as the configuration has it.
pub(crate) const MAX_UNAVAILABLE: usize = 4;
/// Nodes that were made a moment ago count as joining, which a rollout does not wait for: to a clock that
/// is an hour ahead they are old.
const AGED: i64 = 3600;

/// The versions of all objects, and how many writes there were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    versions: Vec<(String, String)>,
    writes: u64,
}

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) agents: Agents,
    pub(crate) recorder: Recorder,
    pub(crate) nodes: usize,
    revision: usize,
}

impl Scene {
    pub(crate) async fn start() -> Result<Self> {
        let cluster = Cluster::start().await?;
        cluster
            .configure(&json!({ "maxUnavailable": MAX_UNAVAILABLE }))
            .await?;
        cluster.apply_all(POLICIES).await?;
        cluster.join(0..NODES).await?;
        // Between a tenth of a second and one, each node as it is used to.
        let mut agents = Agents::new(|node, _| {
            let mut hasher = DefaultHasher::new();
            node.hash(&mut hasher);
            Deed::Applies(Duration::from_millis(100 + hasher.finish() % 900))
        });
        for number in 0..NODES {
            let name = Cluster::node(number);
            agents.start(cluster.client.clone(), &name);
        }
        Ok(Self {
            recorder: Recorder::start(cluster.client.clone()),
            cluster,
            agents,
            nodes: NODES,
            revision: 0,
        })
    }

    /// Starts a replica whose clock is wrong by so many seconds, besides the hour.
    pub(crate) async fn replica(&mut self, wrong: i64) -> Result<Operator> {
        let offset = (AGED + wrong).to_string();
        let program = Product::OperatorFault.locate()?;
        let variables = [("NODESEAL_CLOCK_OFFSET", offset.as_str())];
        // Slowly, so that a change takes its time.
        let args = ["--node-writes-per-second", "20"];
        self.cluster.operator_by(program, &args, &variables).await
    }

    /// The same, and waits until it leads.
    pub(crate) async fn operator(&mut self, wrong: i64) -> Result<Operator> {
        let operator = self.replica(wrong).await?;
        operator.ready().await?;
        let leads = self.cluster.leads(&operator).await;
        leads.with_context(|| operator.process.log())?;
        Ok(operator)
    }

    /// Changes a policy for all nodes; the bundle that they run until then.
    pub(crate) async fn change(&mut self) -> Result<String> {
        let before = self.given().await?;
        self.revision += 1;
        self.cluster.apply(0, self.revision, None).await?;
        Ok(before)
    }

    /// What there is, and how often anything was written for it.
    pub(crate) async fn written(&self) -> Result<Written> {
        Ok(Written {
            versions: self.cluster.versions().await?,
            writes: Requests::read(&self.cluster.client)
                .await?
                .writes_but_tidying(),
        })
    }

    /// Fails unless every node ran nothing but this bundle, and all but one were given nothing else.
    pub(crate) fn stayed(&self, right: &str, but: &str) -> Result<()> {
        for (node, ran) in self.recorder.ran() {
            ensure!(ran == [right], "{node} ran {ran:?}");
        }
        for (node, given) in self.recorder.given() {
            ensure!(
                node == but || given == [right],
                "{node} was given {given:?}"
            );
        }
        Ok(())
    }

    /// The bundle of the first node.
    pub(crate) async fn given(&self) -> Result<String> {
        let own = self.cluster.node_policies().get(&Cluster::node(0)).await?;
        Ok(own.spec.bundle)
    }

    /// Waits until so many nodes were given another bundle than this.
    pub(crate) async fn until_given(&self, before: &str, nodes: usize) -> Result<()> {
        process::wait_for(
            &format!("{nodes} nodes to be given another bundle"),
            LIMIT,
            async || {
                let given = self.recorder.given();
                let other = |given: &&Vec<String>| given.last().is_some_and(|last| last != before);
                Ok((given.values().filter(other).count() >= nodes).then_some(()))
            },
        )
        .await
    }

    /// Waits until every policy is programmed on every node.
    pub(crate) async fn settled(&self) -> Result<()> {
        self.cluster.all_programmed(self.nodes, LIMIT).await
    }

    /// Waits until the fourth node's object is as it should be.
    pub(crate) async fn is_right(
        &self,
        what: &str,
        is: impl Fn(&NodeImagePolicy) -> bool,
    ) -> Result<()> {
        process::wait_for(&format!("{what} to be put right"), LIMIT, async || {
            let own = self
                .cluster
                .node_policies()
                .get_opt(&Cluster::node(3))
                .await?;
            Ok(own.filter(|own| is(own)).map(drop))
        })
        .await
    }

    /// The lease says that this process holds it, whatever the other one believes.
    pub(crate) async fn take_the_lease(&self, operator: &Operator) -> Result<()> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
        let holder = format!("{}-{}", host.trim(), operator.process.id());
        let patch = json!({ "spec": { "holderIdentity": holder } });
        let api = Api::<Lease>::namespaced(self.cluster.client.clone(), NAMESPACE);
        let params = PatchParams::default();
        api.patch("nodeseal-operator", &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}
