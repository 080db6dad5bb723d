//! The main job on one machine: a folder of policies, the agent, a real containerd, a real
//! registry, real cosign signatures. Run it with `cargo xtask demo`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use e2e::cosign::{Cosign, Format, KeyPair, Version};
use e2e::node::Node;
use e2e::process::Process;
use e2e::{Folder, Image, Registry};
use policy::paths;
use xtask::peers;
use xtask::product::Product;

/// What happens to one image, and what should.
struct Row {
    image: String,
    story: &'static str,
    pulled: bool,
    verdict: String,
}

/// The signers of the samples' three keys, and somebody else.
struct Signers {
    v2: Cosign,
    v3: Cosign,
    release: KeyPair,
    security: KeyPair,
    next: KeyPair,
    stranger: KeyPair,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let keep = env::args().any(|argument| argument == "--keep");
    let started = Instant::now();
    let step = |text: &str| println!("[{:5.1} s] {text}", started.elapsed().as_secs_f64());

    step("starting a registry");
    let registry = Registry::with_referrers().await?;
    step("making keys: the release team's, the security team's, a stranger's");
    let signers = Signers::new().await?;
    step("putting config/samples into a folder, with this registry and these keys in them");
    let mut node = Node::prepare(None)?;
    node.write_policies(&samples(&registry, &signers)?)?;
    step("nodeseal-agent: verifier, its policy and the containerd drop-in");
    let applied = node.apply()?;
    ensure!(
        applied.ok,
        "the agent did not apply the samples: {applied:?}"
    );
    step("starting containerd with that folder as its root");
    node.boot().await?;
    step("pushing and signing images, with cosign 2 and cosign 3");
    let images = signers.images(&registry).await?;
    step("pulling over CRI, as a kubelet would");

    let mut rows = Vec::new();
    for (image, story, expected) in images {
        let (pulled, verdict) = match node.pull(&image).await? {
            Ok(()) => (true, "pulled".to_owned()),
            Err(refusal) => {
                let message = refusal
                    .message
                    .split(" [")
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                (false, format!("{}: {message}", refusal.code))
            }
        };
        ensure!(pulled == expected, "{image} ({story}): {verdict}");
        let image = image.replace(&registry.host(), "…");
        rows.push(Row {
            image,
            story,
            pulled,
            verdict,
        });
    }
    print_table(&rows);
    if keep {
        print_places(&node);
        play(&node, &registry, &signers).await?;
    } else {
        println!("\nto look around and play on: cargo xtask demo --keep");
    }
    println!(
        "\ndone in {:.0} s; everything that was started is stopped",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

impl Signers {
    async fn new() -> Result<Self> {
        let (v2, v3) = (Cosign::new(Version::V2)?, Cosign::new(Version::V3)?);
        Ok(Self {
            release: v3.generate_key("release").await?,
            security: v3.generate_key("security").await?,
            next: v3.generate_key("next").await?,
            stranger: v3.generate_key("stranger").await?,
            v2,
            v3,
        })
    }

    /// Images, each with its story and whether it should be pulled.
    async fn images(&self, registry: &Registry) -> Result<Vec<(String, &'static str, bool)>> {
        let push = async |repository, tag| Image::push(registry, repository, tag).await;
        let (v2, v3) = (&self.v2, &self.v3);

        let bundle = push("team/app", "v3").await?;
        v3.sign(&self.release, Format::Bundle, &bundle.by_digest())
            .await?;
        let attached = push("team/app", "v2").await?;
        v2.sign(&self.release, Format::Attachment, &attached.by_digest())
            .await?;
        let unsigned = push("team/app", "unsigned").await?;
        let stranger = push("team/app", "stranger").await?;
        v3.sign(&self.stranger, Format::Bundle, &stranger.by_digest())
            .await?;
        let toy = push("team/sandbox/toy", "v1").await?;
        let both = push("payments/api", "v1").await?;
        v3.sign(&self.next, Format::Bundle, &both.by_digest())
            .await?;
        v3.sign(&self.security, Format::Bundle, &both.by_digest())
            .await?;
        let one = push("payments/api", "v2").await?;
        v3.sign(&self.release, Format::Bundle, &one.by_digest())
            .await?;

        Ok(vec![
            (
                bundle.by_tag(),
                "signed by the release key, cosign 3 bundle",
                true,
            ),
            (
                attached.by_tag(),
                "signed by the release key, cosign 2 .sig",
                true,
            ),
            (unsigned.by_tag(), "not signed", false),
            (stranger.by_tag(), "signed by a stranger", false),
            (toy.by_tag(), "not signed, excluded by the policy", true),
            (
                both.by_tag(),
                "signed by the next release key and security",
                true,
            ),
            (
                one.by_tag(),
                "signed by release alone, two are needed",
                false,
            ),
        ])
    }
}

/// The samples with the demo's registry and keys in the place of the examples'.
fn samples(registry: &Registry, signers: &Signers) -> Result<BTreeMap<&'static str, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples");
    let read = |name: &str| {
        fs::read_to_string(folder.join(name)).with_context(|| format!("read the sample {name}"))
    };
    let mut files = BTreeMap::new();
    for name in [
        "cluster-policy.yaml",
        "two-signers.yaml",
        "enforcement-config.yaml",
    ] {
        files.insert(
            name,
            read(name)?.replace("registry.example.com", &registry.host()),
        );
    }
    // In the order in which the sample names them: release, the next release key, security.
    let bodies = key_bodies(&files["two-signers.yaml"]);
    ensure!(bodies.len() == 3, "the sample has {} keys", bodies.len());
    for (body, key) in bodies
        .iter()
        .zip([&signers.release, &signers.next, &signers.security])
    {
        let [new] = &key_bodies(&key.pem)[..] else {
            anyhow::bail!("cosign wrote no single public key");
        };
        for text in files.values_mut() {
            for (old, new) in body.iter().zip(new) {
                *text = text.replace(old, new);
            }
        }
    }
    Ok(files)
}

/// The base64 lines of each public key in a text.
fn key_bodies(text: &str) -> Vec<Vec<String>> {
    let mut bodies = Vec::new();
    let mut open: Option<Vec<String>> = None;
    for line in text.lines().map(str::trim) {
        if line == "-----BEGIN PUBLIC KEY-----" {
            open = Some(Vec::new());
        } else if line == "-----END PUBLIC KEY-----" {
            bodies.extend(open.take());
        } else if let Some(body) = &mut open {
            body.push(line.to_owned());
        }
    }
    bodies
}

fn print_table(rows: &[Row]) {
    let image = rows
        .iter()
        .map(|row| row.image.chars().count())
        .max()
        .unwrap_or_default();
    println!();
    for row in rows {
        let mark = if row.pulled { "allowed" } else { "REFUSED" };
        println!("{mark}  {:image$}  {}", row.image, row.story);
        if !row.pulled {
            println!("         {}", row.verdict);
        }
    }
}

fn print_places(node: &Node) {
    println!("\nwhat the agent wrote, below {}:", node.root().display());
    for path in [
        paths::VERIFIER_POLICY.to_owned(),
        format!("{}/{}", paths::VERIFIER_DIR, paths::VERIFIER_NAME),
        paths::CONTAINERD_DROP_IN.to_owned(),
        format!("{}/status.json", paths::STATE_DIR),
    ] {
        println!("  /{path}");
    }
}

/// Leaves everything running, with an agent that watches, until Ctrl-C.
async fn play(node: &Node, registry: &Registry, signers: &Signers) -> Result<()> {
    let folder = Folder::new("play")?;
    let mut agent = node.agent(&Product::Agent.locate()?);
    agent.arg("--verifier").arg(Product::Verifier.locate()?);
    let _agent = Process::start("agent", &mut agent, &folder.join("agent.log"))?;
    let show = |peer: &str| peers::locate(peer).map(|path| path.display().to_string());
    println!(
        "\neverything keeps running; the agent watches the folder. Try, in another terminal:
  edit policies   {policies}
  read its log    {log}
  push an image   {crane} append --insecure --oci-empty-base -f /etc/hostname -t {host}/team/mine:v1
  pull it         {ctr} --address {socket} -n k8s.io images pull --plain-http {host}/team/mine:v1
  sign it         COSIGN_PASSWORD= {cosign} sign --key {key} --tlog-upload=false --use-signing-config=false --allow-http-registry -y {host}/team/mine@sha256:…
Ctrl-C ends everything.",
        policies = node.policies().display(),
        log = folder.join("agent.log").display(),
        crane = show("crane")?,
        ctr = show("ctr")?,
        cosign = show("cosign3")?,
        socket = node.socket().display(),
        host = registry.host(),
        key = signers.release.private.display(),
    );
    // The lab's own handler ends processes and removes folders; this future never finishes first.
    std::future::pending::<()>().await;
    Ok(())
}
