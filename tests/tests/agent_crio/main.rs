//! The agent and a CRI-O that runs: what it has in force is what the agent writes to, and images
//! that were pulled before their signatures were looked for are pulled again before policies hold.
//!
//! CRI-O's socket is a stand-in that answers what a real one answered.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::cri::api::Image;
use e2e::crio_socket::{CrioSocket, Settings};
use e2e::keys::{Key, Kind};
use e2e::policies::PolicyText;
use e2e::{Folder, Process, process};
use serde_json::Value;
use tonic::Status;
use xtask::product::Product;

const POLICY: &str = "etc/crio/policy.json";
const REGISTRIES: &str = "etc/containers/registries.d/nodeseal.yaml";
const SHIPPED: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const LIMIT: Duration = Duration::from_mins(1);

/// A node whose CRI-O runs, and its agent.
struct Node {
    agent: Option<Process>,
    crio: CrioSocket,
    folder: Folder,
}

impl Node {
    /// With one covered and one other image.
    fn new(signature_policy: &str) -> Result<Self> {
        let folder = Folder::new("crio-agent")?;
        let root = folder.join("root");
        for dir in [
            "etc/crio/crio.conf.d",
            "etc/containers/registries.d",
            "run/crio",
        ] {
            fs::create_dir_all(root.join(dir))?;
        }
        fs::create_dir(folder.join("policies"))?;
        fs::write(root.join(POLICY), SHIPPED)?;
        let image = |name: &str| Image {
            id: name.to_owned(),
            repo_tags: vec![format!("{name}:1")],
            repo_digests: vec![format!("{name}@{DIGEST}")],
            ..Image::default()
        };
        let crio = CrioSocket::start(Settings {
            version: "1.34.1".to_owned(),
            signature_policy: signature_policy.to_owned(),
            signature_policy_dir: "/etc/crio/policies".to_owned(),
            images: vec![image("covered.example/app"), image("other.example/app")],
            ..Settings::default()
        })?;
        symlink(crio.socket(), root.join("run/crio/crio.sock"))?;
        Ok(Self {
            agent: None,
            crio,
            folder,
        })
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn policies(&self, crio: &str) -> Result<()> {
        let folder = self.folder.join("policies");
        let key = Key::generate(Kind::P256)?.public_pem()?;
        let policy = PolicyText::new("p", &["covered.example"]);
        let policy = policy.authority("release", &key).yaml();
        fs::write(folder.join("p.yaml"), policy)?;
        let config = format!(
            "apiVersion: nodeseal.dev/v1alpha1\nkind: EnforcementConfig\nmetadata: {{name: default}}\nspec: {{probe: {{interval: 0s}}, crio: {{{crio}}}}}\n"
        );
        fs::write(folder.join("config.yaml"), config)?;
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.agent = None;
        let mut command = Command::new(Product::Agent.locate()?);
        command
            .args(["--recheck", "1", "--output", "json"])
            .arg("--policy-dir")
            .arg(self.folder.join("policies"))
            .arg("--root")
            .arg(self.root())
            .args(["--runtime-endpoint", "unix:///run/crio/crio.sock"]);
        let log = self.folder.join("agent.log");
        self.agent = Some(Process::start("nodeseal-agent", &mut command, &log)?);
        Ok(())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }

    fn status(&self) -> Value {
        let text = self.read("var/lib/nodeseal/status.json");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> String {
        let status = self.status();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions
            .iter()
            .find(|condition| condition["type"] == kind);
        found.map_or(String::new(), |c| {
            format!("{} {} {}", c["status"], c["reason"], c["message"])
        })
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let look = async || Ok(holds(self).then_some(()));
        let log = || self.agent.as_ref().map(Process::log).unwrap_or_default();
        process::wait_for(what, LIMIT, look)
            .await
            .with_context(|| format!("{:#}\n{}", self.status(), log()))
    }
}

#[tokio::test]
async fn policies_wait_until_covered_images_have_their_signatures() -> Result<()> {
    let mut node = Node::new("/etc/crio/policy.json")?;
    node.policies("staleImages: Hold")?;
    node.crio.refuse("the registry is down");
    node.start()?;
    node.until("the wait for images", |node| {
        node.condition("Applied").contains("StaleImages")
    })
    .await?;
    assert!(
        node.condition("Applied")
            .contains("covered.example/app@sha256:1")
    );
    // Signatures are looked up already; no rule has changed.
    assert!(node.read(REGISTRIES).contains("covered.example"));
    assert_eq!(node.read(POLICY), SHIPPED);
    let asked = node.crio.pulls();
    assert!(
        asked
            .iter()
            .all(|image| image == &format!("covered.example/app@{DIGEST}"))
    );

    node.crio.on_pull(|_| async { Ok::<(), Status>(()) });
    node.until("the policy", |node| {
        node.read(POLICY).contains("covered.example")
    })
    .await?;
    node.until("the status", |node| {
        node.condition("Applied").contains("\"True\"")
    })
    .await?;
    // What is fresh stays so, also for another agent.
    let asked = node.crio.pulls().len();
    node.start()?;
    node.until("another look", |node| {
        node.agent.as_ref().is_some_and(|a| !a.log().is_empty())
    })
    .await?;
    assert_eq!(node.crio.pulls().len(), asked);
    Ok(())
}

#[tokio::test]
async fn while_images_are_waited_for_what_is_in_force_is_put_back() -> Result<()> {
    let mut node = Node::new("/etc/crio/policy.json")?;
    node.policies("staleImages: Hold")?;
    node.start()?;
    node.until("the policy", |node| {
        node.condition("Applied").contains("\"True\"")
    })
    .await?;
    let in_force = node.read(POLICY);
    assert!(in_force.contains("covered.example"));
    // Another key is another demand.
    node.crio.refuse("the registry is down");
    node.policies("staleImages: Hold")?;
    node.until("the wait for images", |node| {
        node.condition("Applied").contains("StaleImages")
    })
    .await?;
    assert_eq!(node.read(POLICY), in_force);
    for weaker in [Some(SHIPPED), None] {
        match weaker {
            Some(text) => fs::write(node.root().join(POLICY), text)?,
            None => fs::remove_file(node.root().join(POLICY))?,
        }
        node.until("what was in force", |node| node.read(POLICY) == in_force)
            .await?;
    }
    assert!(node.condition("Applied").contains("StaleImages"));
    Ok(())
}

#[tokio::test]
async fn images_of_a_namespaces_policy_hold_nothing() -> Result<()> {
    let mut node = Node::new("/etc/crio/policy.json")?;
    node.policies("staleImages: Hold")?;
    let key = Key::generate(Kind::P256)?.public_pem()?;
    let own = PolicyText::new("own", &["other.example"]);
    let own = own.authority("release", &key).yaml();
    let own = own
        .replace("ClusterImageSignaturePolicy", "ImageSignaturePolicy")
        .replace("name: own", "name: own, namespace: team");
    fs::write(node.folder.join("policies/own.yaml"), own)?;
    node.crio.on_pull(|image| async move {
        let refused = image.starts_with("other.example");
        let down = || Err(Status::unavailable("the registry is down"));
        if refused { down() } else { Ok(()) }
    });
    node.start()?;
    node.until("the policy", |node| {
        node.condition("Applied").contains("\"True\"")
    })
    .await?;
    assert!(node.read(POLICY).contains("covered.example"));
    assert!(
        node.read("etc/crio/policies/team.json")
            .contains("other.example")
    );
    // They are pulled again all the same, and the status tells of them.
    node.until("the pulls", |node| {
        let pulls = node.crio.pulls();
        pulls.iter().any(|image| image.starts_with("other.example"))
    })
    .await?;
    assert!(
        node.status()["warnings"]
            .to_string()
            .contains("other.example/app@sha256:1")
    );
    Ok(())
}

#[tokio::test]
async fn policies_do_not_wait_where_they_are_told_not_to() -> Result<()> {
    let mut node = Node::new("/etc/crio/policy.json")?;
    node.policies("staleImages: Proceed")?;
    node.crio.refuse("the registry is down");
    node.start()?;
    node.until("the policy", |node| {
        node.read(POLICY).contains("covered.example")
    })
    .await?;
    assert!(!node.crio.pulls().is_empty(), "they were tried first");
    Ok(())
}

#[tokio::test]
async fn what_is_in_force_is_what_is_written() -> Result<()> {
    let mut node = Node::new("/etc/crio/other.json")?;
    node.policies("")?;
    node.start()?;
    node.until("the policy", |node| {
        node.read("etc/crio/other.json").contains("covered.example")
    })
    .await?;
    assert_eq!(node.read(POLICY), SHIPPED);
    node.until("the status", |node| {
        node.status()["runtime"]["version"] == "1.34.1"
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_crio_that_reads_no_policy_is_told_and_left_alone_unless_it_may_be_restarted()
-> Result<()> {
    let mut node = Node::new("")?;
    node.policies("restart: Never")?;
    node.start()?;
    node.until("the condition", |node| {
        node.condition("Enforcing").contains("NotEnforcing")
    })
    .await?;
    let why = node.condition("Enforcing");
    assert!(why.contains("99-nodeseal.conf"), "{why}");
    assert!(why.contains("signature_policy"), "{why}");
    assert!(node.condition("Ready").contains("False"));
    assert_eq!(node.read("etc/crio/crio.conf.d/99-nodeseal.conf"), "");
    Ok(())
}

#[tokio::test]
async fn a_crio_that_does_not_answer_changes_nothing() -> Result<()> {
    let mut node = Node::new("/etc/crio/policy.json")?;
    node.policies("")?;
    node.start()?;
    node.until("the policy", |node| {
        node.read(POLICY).contains("covered.example")
    })
    .await?;
    node.crio.stop();
    node.until("the silence", |node| {
        node.condition("Detected").contains("NoAnswer")
    })
    .await?;
    assert!(node.read(POLICY).contains("covered.example"));
    node.crio.restart()?;
    node.until("the answer", |node| {
        node.condition("Detected").contains("\"True\"")
    })
    .await?;
    Ok(())
}
