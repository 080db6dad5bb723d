//! The main job on one machine: a folder of policies, the agent, a real containerd, a real
//! registry, real cosign signatures. Run it with `cargo xtask demo --standalone`.

use std::env;
use std::time::Instant;

use anyhow::{Result, ensure};
use e2e::node::Node;
use e2e::process::Process;
use e2e::show::{Row, Signers, print_table, samples};
use e2e::{Folder, Registry};
use policy::paths;
use xtask::peers;
use xtask::product::Product;

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
    for exhibit in images {
        let refusal = node.pull(&exhibit.image).await?.err();
        ensure!(
            refusal.is_none() == exhibit.on_containerd,
            "{exhibit:?}: {refusal:?}"
        );
        rows.push(Row {
            image: exhibit.image.replace(&registry.host(), "…"),
            story: exhibit.story,
            refusal: refusal.map(|refusal| refusal.in_short()),
        });
    }
    print_table(&rows);
    if keep {
        print_places(&node);
        play(&node, &registry, &signers).await?;
    } else {
        println!("\nto look around and play on: cargo xtask demo --standalone --keep");
    }
    println!(
        "\ndone in {:.0} s; everything that was started is stopped",
        started.elapsed().as_secs_f64()
    );
    Ok(())
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
  push an image   {crane} append --insecure --oci-empty-base -f <(tar -c -C /etc hostname) -t {host}/team/mine:v1
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
