//! An API server that is gone, that fails, or that hands out what is none.

use std::process::Command;

use anyhow::{Result, ensure};
use crds::PolicyBundleSpec;
use crds::bundle::{encode, object_name};
use crds::load::{Source, load};
use policy::bundle::{Bundle, Settings};
use xtask::product::Product;

use crate::api::{Api, Failing, NODE};
use crate::node::{KEPT, Kind, Node, POLICY, condition, policy};
use crate::run::{Case, Recovered};
use crate::sight::Allowed;

pub(crate) fn cases() -> Vec<Case> {
    let failing = |name: &str, how: Failing| {
        let name = format!("cluster: {name}");
        Case::new(name, "old and drift put back, then new", move || fails(how))
    };
    let spoiled =
        |name: &str, reason: &'static str, spoil: fn(PolicyBundleSpec) -> PolicyBundleSpec| {
            let name = format!("cluster: the bundle {name}");
            Case::new(name, "old, told; then new", move || unusable(reason, spoil))
        };
    vec![
        failing("every answer is 500", Failing::Broken),
        failing("no answer comes", Failing::Silent),
        failing("every answer is garbage", Failing::Garbage),
        failing("the rights are lost", Failing::Forbidden),
        Case::new(
            "cluster: nobody listens, for an agent that starts too",
            "old and drift put back, then new",
            gone,
        ),
        Case::new("cluster: watches are cut off again and again", "new", cut),
        Case::new("cluster: watches have expired", "new", || {
            followed(Failing::Expired)
        }),
        Case::new(
            "cluster: the status is refused",
            "new, told when it is taken",
            || followed(Failing::NoStatus),
        ),
        spoiled("is not what its name says", "RenderFailed", |mut spec| {
            let other = encode(&bundle("other.example")).ok();
            spec.data = other.map(|spec| spec.data).unwrap_or_default();
            spec
        }),
        spoiled("is cut", "RenderFailed", |mut spec| {
            spec.data.truncate(spec.data.len() / 8 * 4);
            spec
        }),
        spoiled("is no base64", "RenderFailed", |mut spec| {
            "%%%%".clone_into(&mut spec.data);
            spec
        }),
        spoiled("is empty", "RenderFailed", |mut spec| {
            spec.data = String::new();
            spec
        }),
        spoiled("has a newer format", "BundleTooNew", |mut spec| {
            spec.format = 2;
            spec
        }),
        Case::new(
            "cluster: the bundle is not there yet",
            "old, told; then new",
            missing,
        ),
        Case::new(
            "cluster: the object asks for a name that is none",
            "old, told; then new",
            no_name,
        ),
    ]
}

fn bundle(scope: &str) -> Bundle {
    let sources = [("kept", KEPT), ("other", scope)].map(|(name, scope)| Source {
        name: format!("{name}.yaml"),
        text: policy(name, scope),
    });
    let policies = load(&sources)
        .policies
        .into_iter()
        .map(|loaded| loaded.policy);
    Bundle::new(Settings::default(), policies)
}

/// A node whose agent follows a cluster that has asked for a bundle.
pub(crate) struct Followed {
    pub(crate) node: Node,
    api: Api,
}

impl Followed {
    pub(crate) async fn start() -> Result<Self> {
        let mut all = Self {
            node: Node::new(Kind::Containerd)?,
            api: Api::start().await?,
        };
        all.ask("old.example")?;
        all.run()?;
        all.enforces("old.example").await?;
        all.tells("Applied").await?;
        Ok(all)
    }

    /// Starts the agent, or starts it again.
    fn run(&mut self) -> Result<()> {
        let kubeconfig = self.node.beside("kubeconfig");
        self.api.kubeconfig(&kubeconfig)?;
        let mut command = Command::new(Product::Agent.locate()?);
        command.env("RUST_LOG", "warn");
        command
            .args(["--node-name", NODE, "--kubeconfig"])
            .arg(kubeconfig);
        command.arg("--root").arg(self.node.root());
        command.args([
            "--runtime",
            "containerd",
            "--runtime-version",
            "2.2.1",
            "--verifier",
        ]);
        command.arg(self.node.beside("verifier"));
        self.node.start_as(command)
    }

    pub(crate) fn ask(&self, scope: &str) -> Result<()> {
        let bundle = bundle(scope);
        let name = object_name(&bundle.digest());
        self.api.store(&name, encode(&bundle)?);
        self.api.ask(&name);
        Ok(())
    }

    fn has(&self, scope: &str) -> bool {
        let text = self.node.read(POLICY).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&format!("\"{scope}"))
    }

    pub(crate) async fn enforces(&self, scope: &str) -> Result<std::time::Duration> {
        self.node.until("the policies", |_| self.has(scope)).await
    }

    /// Waits until the cluster is told this reason.
    async fn tells(&self, reason: &str) -> Result<()> {
        let told = |_: &Node| condition(&self.api.status(), "Applied").contains(reason);
        self.node
            .until("the status in the cluster", told)
            .await
            .map(drop)
    }

    /// What somebody removes is put back.
    async fn mends(&self) -> Result<()> {
        let before = self.node.read(POLICY);
        std::fs::remove_file(self.node.at(POLICY))?;
        self.node
            .until("the policy to be put back", |node| {
                node.read(POLICY) == before
            })
            .await?;
        Ok(())
    }
}

async fn fails(how: Failing) -> Result<Recovered> {
    let all = Followed::start().await?;
    let sight = all.node.sight();
    all.api.fail(how);
    all.ask("new.example")?;
    all.mends().await?;
    ensure!(
        all.has("old.example") && !all.has("new.example"),
        "it followed what fails"
    );
    all.api.fail(Failing::No);
    let took = all.enforces("new.example").await?;
    all.tells("Applied").await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

async fn gone() -> Result<Recovered> {
    let mut all = Followed::start().await?;
    let sight = all.node.sight();
    all.api.stop();
    all.mends().await?;
    all.run()?;
    all.node
        .until("the agent to speak", |node| {
            node.log().contains("does not answer")
        })
        .await?;
    all.mends().await?;
    ensure!(all.has("old.example"), "the old policies are gone");
    all.ask("new.example")?;
    all.api.restart().await?;
    let took = all.enforces("new.example").await?;
    all.tells("Applied").await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

async fn cut() -> Result<Recovered> {
    let all = Followed::start().await?;
    let sight = all.node.sight();
    for round in 0..20 {
        all.api.cut();
        if round == 10 {
            all.ask("new.example")?;
        }
        tokio::task::yield_now().await;
    }
    let took = all.enforces("new.example").await?;
    all.tells("Applied").await?;
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}

async fn followed(how: Failing) -> Result<Recovered> {
    let all = Followed::start().await?;
    let sight = all.node.sight();
    all.api.fail(how);
    all.ask("new.example")?;
    let took = all.enforces("new.example").await?;
    all.mends().await?;
    all.api.fail(Failing::No);
    let bundle = object_name(&bundle("new.example").digest());
    let told = |_: &Node| all.api.status()["appliedBundle"] == bundle.as_str();
    all.node.until("the status in the cluster", told).await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

async fn unusable(
    reason: &str,
    spoil: fn(PolicyBundleSpec) -> PolicyBundleSpec,
) -> Result<Recovered> {
    let all = Followed::start().await?;
    let sight = all.node.sight();
    let wanted = bundle("spoiled.example");
    let name = object_name(&wanted.digest());
    all.api.store(&name, spoil(encode(&wanted)?));
    all.api.ask(&name);
    all.tells(reason).await?;
    all.mends().await?;
    ensure!(all.has("old.example"), "the old policies are gone");
    all.ask("new.example")?;
    let took = all.enforces("new.example").await?;
    all.tells("Applied").await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

async fn missing() -> Result<Recovered> {
    let all = Followed::start().await?;
    let sight = all.node.sight();
    let wanted = bundle("new.example");
    let name = object_name(&wanted.digest());
    all.api.ask(&name);
    all.tells("Pending").await?;
    all.mends().await?;
    all.api.store(&name, encode(&wanted)?);
    let took = all.enforces("new.example").await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

async fn no_name() -> Result<Recovered> {
    let all = Followed::start().await?;
    let sight = all.node.sight();
    all.api.store("..", encode(&bundle("new.example"))?);
    all.api.ask("../../../etc");
    all.node
        .until("it to be told", |_| {
            !condition(&all.api.status(), "Applied").starts_with("True")
        })
        .await?;
    all.mends().await?;
    all.ask("new.example")?;
    let took = all.enforces("new.example").await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}
