//! An agent that is killed on the way from one set of CRI-O's files to the next: the library that
//! CRI-O verifies with is asked about every mix of old and new files that it leaves.
//!
//! What a mix allows, the old or the new set allows as well; and what both allow, every mix allows:
//! no pod is refused because policies are just changing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::judge::{Question, Verdict};
use e2e::policies::{PolicyText, config};
use e2e::{Cosign, Folder, Image, Judge, Registry, cosign};
use xtask::product::Product;

/// Files that change; a namespace without one falls under the cluster's.
const CLUSTER: &str = "etc/crio/policy.json";
const REGISTRIES_D: &str = "etc/containers/registries.d";
/// The namespaces of the test. `gone` has a policy before, `more` one after, `plain` none.
const NAMESPACES: [&str; 4] = ["kept", "gone", "more", "plain"];
/// A repository for each policy, and one that none covers.
const REPOSITORIES: [&str; 6] = ["old", "new", "kept", "gone", "more", "other"];

/// What is allowed: namespace and image.
type Allowed = BTreeSet<(&'static str, String)>;

/// Two images of each repository, the first signed.
async fn images(registry: &Registry) -> Result<(String, Vec<Image>)> {
    let cosign = Cosign::new(cosign::Version::V2)?;
    let key = cosign.generate_key("release").await?;
    let mut images = Vec::new();
    for repository in REPOSITORIES {
        let signed = Image::push(registry, &format!("team/{repository}"), "signed").await?;
        cosign
            .sign(&key, cosign::Format::Attachment, &signed.by_digest())
            .await?;
        images.push(signed);
        images.push(Image::push(registry, &format!("team/{repository}"), "unsigned").await?);
    }
    Ok((key.pem.clone(), images))
}

/// Policies by file name.
struct Policies<'a> {
    host: &'a str,
    pem: &'a str,
}

impl Policies<'_> {
    fn policy(&self, name: &str, repository: &str) -> String {
        let scope = format!("{}/team/{repository}", self.host);
        let text = PolicyText::new(name, &[&scope]).authority("release", self.pem);
        text.yaml()
    }

    fn namespaced(&self, namespace: &str) -> String {
        let text = self.policy(namespace, namespace);
        let text = text.replace("ClusterImageSignaturePolicy", "ImageSignaturePolicy");
        text.replace(
            "metadata: {",
            &format!("metadata: {{namespace: {namespace}, "),
        )
    }

    fn old(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("a.yaml", self.policy("a", "old")),
            ("config.yaml", config(&["defaultAction: Allow"])),
            ("kept.yaml", self.namespaced("kept")),
            ("gone.yaml", self.namespaced("gone")),
        ])
    }

    fn next(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("a.yaml", self.policy("a", "new")),
            ("config.yaml", config(&["defaultAction: Allow"])),
            ("kept.yaml", self.namespaced("kept")),
            ("more.yaml", self.namespaced("more")),
        ])
    }

    fn strict(&self) -> BTreeMap<&'static str, String> {
        let mut policies = self.next();
        policies.insert("config.yaml", config(&["defaultAction: Reject"]));
        policies
    }

    fn none() -> BTreeMap<&'static str, String> {
        BTreeMap::from([("config.yaml", config(&["defaultAction: Allow"]))])
    }
}

/// A CRI-O node's files, and the policies that the agent reads.
struct Files(Folder);

impl Files {
    fn shipped() -> Result<Self> {
        let files = Self(Folder::new("crio")?);
        for (path, text) in [
            ("etc/containers/registries.conf", ""),
            (
                CLUSTER,
                r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
            ),
            (
                "etc/crio/crio.conf",
                "[crio.image]\nsignature_policy = \"/etc/crio/policy.json\"\n",
            ),
        ] {
            let path = files.root().join(path);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(path, text)?;
        }
        fs::create_dir(files.0.join("policies"))?;
        Ok(files)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn copy(&self) -> Result<Self> {
        let copy = Self(Folder::new("crio")?);
        let done = Command::new("cp")
            .arg("-a")
            .arg(self.0.path().join("."))
            .arg(copy.0.path())
            .status()
            .context("copy a node")?;
        ensure!(done.success(), "cp: {done}");
        Ok(copy)
    }

    fn set(&self, policies: &BTreeMap<&str, String>) -> Result<()> {
        let folder = self.0.join("policies");
        fs::remove_dir_all(&folder)?;
        fs::create_dir(&folder)?;
        for (name, text) in policies {
            fs::write(folder.join(name), text)?;
        }
        Ok(())
    }

    /// Lets the agent look once; `fault` is the point at which it dies.
    fn apply(&self, fault: Option<u64>, trace: Option<&Path>) -> Result<()> {
        let mut command = Command::new(Product::AgentFault.locate()?);
        command
            .args([
                "--runtime",
                "cri-o",
                "--runtime-version",
                "1.34.1",
                "--once",
            ])
            .arg("--policy-dir")
            .arg(self.0.join("policies"))
            .arg("--root")
            .arg(self.root())
            .stdout(Stdio::null());
        if let Some(point) = fault {
            command.env("NODESEAL_FAULT_AT", point.to_string());
        }
        if let Some(trace) = trace {
            command.env("NODESEAL_FAULT_TRACE", trace);
        }
        let status = command.status().context("run the agent")?;
        let expected = match fault {
            None => status.success(),
            Some(_) => status.signal() == Some(9),
        };
        ensure!(expected, "the agent ended with {status} (fault {fault:?})");
        Ok(())
    }

    /// The nodes that an agent leaves that is killed between any two changes of CRI-O's files, in
    /// the order of these changes; as it is now first, as it is afterwards last.
    fn mixes(&self) -> Result<Vec<Self>> {
        let whole = self.copy()?;
        let trace = whole.0.join("trace");
        whole.apply(None, Some(&trace))?;
        let mut mixes = vec![self.copy()?];
        for line in fs::read_to_string(&trace)?.lines() {
            let (number, point) = line.split_once(' ').context("a numbered point")?;
            let changes = ["after rename etc/", "after removal etc/"];
            if !changes.iter().any(|change| point.starts_with(change)) {
                continue;
            }
            let node = self.copy()?;
            node.apply(Some(number.parse()?), None)?;
            mixes.push(node);
        }
        mixes.push(whole);
        Ok(mixes)
    }

    /// What the library lets the pods of each namespace run.
    fn allowed(&self, judge: &mut Judge, images: &[Image]) -> Result<Allowed> {
        let mut allowed = Allowed::new();
        for namespace in NAMESPACES {
            let own = self
                .root()
                .join(format!("etc/crio/policies/{namespace}.json"));
            let policy = if own.exists() {
                own
            } else {
                self.root().join(CLUSTER)
            };
            for image in images {
                let question = Question {
                    policy: policy.clone().into(),
                    registries_d: self.root().join(REGISTRIES_D),
                    registries_conf: self.root().join("etc/containers/registries.conf"),
                    image: image.by_tag(),
                };
                match judge.ask(&question)? {
                    Verdict::Allowed => {
                        allowed.insert((namespace, image.by_tag()));
                    }
                    Verdict::Refused(_) => {}
                    Verdict::Invalid(why) => panic!("{namespace}: {why}"),
                }
            }
        }
        Ok(allowed)
    }
}

/// Goes from one set of policies to the next and asks about every mix; returns what was allowed
/// before and is afterwards.
fn judged(
    start: &Files,
    policies: &BTreeMap<&str, String>,
    judge: &mut Judge,
    images: &[Image],
    name: &str,
) -> Result<(Allowed, Allowed)> {
    start.set(policies)?;
    let mixes = start.mixes()?;
    let mut allowed = Vec::new();
    for mix in &mixes {
        allowed.push(mix.allowed(judge, images)?);
    }
    let (old, new) = (&allowed[0], &allowed[allowed.len() - 1]);
    for (at, mix) in allowed.iter().enumerate() {
        let more: Vec<_> = mix.difference(&(old | new)).cloned().collect();
        assert!(more.is_empty(), "{name}, mix {at}: allows more: {more:?}");
        let less: Vec<_> = (old & new).difference(mix).cloned().collect();
        assert!(less.is_empty(), "{name}, mix {at}: allows less: {less:?}");
    }
    println!(
        "{name}: {} mixes, {} answers each; allowed: {} before, {} after",
        mixes.len(),
        NAMESPACES.len() * images.len(),
        old.len(),
        new.len()
    );
    assert!(mixes.len() > 4, "{name}: only {} mixes", mixes.len());
    Ok((old.clone(), new.clone()))
}

#[tokio::test]
async fn every_mix_that_a_killed_agent_leaves_allows_only_what_the_old_or_the_new_set_allows()
-> Result<()> {
    let registry = Registry::distribution().await?;
    let (pem, images) = images(&registry).await?;
    let host = registry.host();
    let policies = Policies {
        host: &host,
        pem: &pem,
    };
    let mut judge = Judge::start()?;
    let unsigned = |repository: &str| format!("{host}/team/{repository}:unsigned");
    let signed = |repository: &str| format!("{host}/team/{repository}:signed");

    let shipped = Files::shipped()?;
    let (before, after) = judged(
        &shipped,
        &policies.old(),
        &mut judge,
        &images,
        "installation",
    )?;
    assert_eq!(before.len(), NAMESPACES.len() * images.len());
    // The images of each policy's repository: the judge is asked something that matters.
    for namespace in NAMESPACES {
        assert!(
            !after.contains(&(namespace, unsigned("old"))),
            "{namespace}"
        );
        assert!(after.contains(&(namespace, signed("old"))), "{namespace}");
        let covered = matches!(namespace, "kept" | "gone");
        assert_eq!(
            !after.contains(&(namespace, unsigned(namespace_repository(namespace)))),
            covered
        );
    }

    let node = Files::shipped()?;
    node.set(&policies.old())?;
    node.apply(None, None)?;
    judged(&node, &policies.next(), &mut judge, &images, "update")?;
    let (_, strict) = judged(
        &node,
        &policies.strict(),
        &mut judge,
        &images,
        "strict update",
    )?;
    assert!(!strict.contains(&("plain", signed("other"))));
    assert!(strict.contains(&("more", signed("more"))));
    judged(&node, &Policies::none(), &mut judge, &images, "removal")?;

    node.set(&policies.strict())?;
    node.apply(None, None)?;
    let (before, _) = judged(&node, &policies.old(), &mut judge, &images, "loosening")?;
    assert_eq!(before, strict);
    Ok(())
}

/// The repository that the policy of a namespace covers, if it ever has one.
fn namespace_repository(namespace: &'static str) -> &'static str {
    if namespace == "plain" {
        "other"
    } else {
        namespace
    }
}
