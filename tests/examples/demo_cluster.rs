//! The whole loop on one machine: policies in a real API server, the operator, an agent on a
//! containerd node and one on a node with CRI-O's layout, whose files the library judges that CRI-O
//! verifies with. Run it with `cargo xtask demo`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use e2e::control_plane::ControlPlane;
use e2e::judge::{Judge, Question, Verdict};
use e2e::node::Node;
use e2e::process::Process;
use e2e::show::{Exhibit, Row, Signers, print_table, samples};
use e2e::{Folder, Registry, ports};
use serde_json::json;
use xtask::peers;
use xtask::product::Product;

/// How long the nodes may take to run the policies.
const READY: &str = "--timeout=60s";
/// The policies of the samples.
const POLICIES: [&str; 2] = ["release-images", "two-signers"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let keep = env::args().any(|argument| argument == "--keep");
    let started = Instant::now();
    let step = |text: &str| println!("[{:5.1} s] {text}", started.elapsed().as_secs_f64());

    step("starting etcd, kube-apiserver and a registry");
    let (plane, registry) = tokio::try_join!(ControlPlane::start(), Registry::with_referrers())?;
    plane.install_crds().await?;
    let logs = Folder::new("demo")?;
    step("two nodes: one with a running containerd, one with CRI-O's layout");
    let mut containerd = Node::prepare(None)?;
    let crio = CrioNode::new()?;
    for (name, runtime) in [
        ("worker-1", "containerd://2.2.1"),
        ("worker-2", "cri-o://1.34.1"),
    ] {
        join(&plane, &logs, name, runtime).await?;
    }
    step("starting the operator, and an agent on each node");
    let _operator = operator(&plane, &logs).await?;
    let kubeconfig = plane.kubeconfig();
    let mut first = Command::new(Product::Agent.locate()?);
    first.args([
        "--node-name",
        "worker-1",
        "--runtime",
        "containerd",
        "--kubeconfig",
    ]);
    first.arg(&kubeconfig).arg("--root").arg(containerd.root());
    first.arg("--verifier").arg(Product::Verifier.locate()?);
    let _first = Process::start("agent", &mut first, &logs.join("worker-1.log"))?;
    let mut second = Command::new(Product::Agent.locate()?);
    second.args([
        "--node-name",
        "worker-2",
        "--runtime",
        "cri-o",
        "--runtime-version",
        "1.34.1",
    ]);
    second
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .arg("--root")
        .arg(crio.root());
    let _second = Process::start("agent", &mut second, &logs.join("worker-2.log"))?;

    step("making keys; kubectl apply -f config/samples, with this registry and these keys");
    let signers = Signers::new().await?;
    let folder = logs.join("samples");
    fs::create_dir(&folder).context("create the folder of samples")?;
    for (name, text) in samples(&registry, &signers)? {
        fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    }
    let path = folder.display().to_string();
    plane.kubectl(&["apply", "-f", &path]).await?;
    step("pushing and signing images, with cosign 2 and cosign 3");
    let images = signers.images(&registry).await?;
    step("waiting until both nodes run the policies");
    for policy in POLICIES {
        ready(&plane, policy).await?;
    }
    containerd.boot().await?;
    step("pulling");

    show(&containerd, &crio, &images, &registry).await?;
    for kinds in [&["cisp", "-o", "wide"][..], &["nip"]] {
        let args = [&["get"], kinds].concat();
        println!(
            "\n$ kubectl {}\n{}",
            args.join(" "),
            plane.kubectl(&args).await?
        );
    }
    if keep {
        println!(
            "everything keeps running. Look at:\n  {} --kubeconfig {} get cisp,nip\n  {}\n  {}\n  {}\nCtrl-C ends everything.",
            peers::locate("kubectl")?.display(),
            kubeconfig.display(),
            logs.path().display(),
            containerd.root().display(),
            crio.root().display(),
        );
        // The lab's own handler ends processes and removes folders; this never finishes first.
        std::future::pending::<()>().await;
    }
    println!("to look around and play on: cargo xtask demo --keep");
    println!(
        "done in {:.0} s; everything that was started is stopped",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Pulls on the one node, asks the judge about the other.
async fn show(
    containerd: &Node,
    crio: &CrioNode,
    images: &[Exhibit],
    registry: &Registry,
) -> Result<()> {
    println!("\nworker-1, containerd, over CRI as a kubelet would:");
    let mut rows = Vec::new();
    for exhibit in images {
        let refusal = containerd.pull(&exhibit.image).await?.err();
        ensure!(
            refusal.is_none() == exhibit.on_containerd,
            "{exhibit:?}: {refusal:?}"
        );
        let refusal = refusal.map(|refusal| refusal.in_short());
        rows.push(row(exhibit, registry, refusal));
    }
    print_table(&rows);
    println!("\nworker-2, CRI-O's files, judged by the library that CRI-O verifies with:");
    print_table(&crio.judged(images, registry)?);
    Ok(())
}

fn row(exhibit: &Exhibit, registry: &Registry, refusal: Option<String>) -> Row {
    Row {
        image: exhibit.image.replace(&registry.host(), "…"),
        story: exhibit.story,
        refusal,
    }
}

/// Makes the API server know a node, as its kubelet would.
async fn join(plane: &ControlPlane, logs: &Folder, name: &str, runtime: &str) -> Result<()> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let file = logs.join(format!("{name}.json"));
    fs::write(&file, node.to_string()).context("write a node")?;
    plane
        .kubectl(&["create", "-f", &file.display().to_string()])
        .await?;
    let info = json!({"machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "",
        "osImage": "", "containerRuntimeVersion": runtime, "kubeletVersion": "v1.34.4",
        "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"});
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "", "lastHeartbeatTime": null, "lastTransitionTime": null}]);
    let patch = json!({"status": {"nodeInfo": info, "conditions": conditions}}).to_string();
    let args = [
        "patch",
        "node",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    plane.kubectl(&args).await.map(drop)
}

async fn operator(plane: &ControlPlane, logs: &Folder) -> Result<Process> {
    plane
        .kubectl(&["create", "namespace", "nodeseal-system"])
        .await?;
    let mut command = Command::new(Product::Operator.locate()?);
    command.arg("--kubeconfig").arg(plane.kubeconfig());
    command.args(["--health-port", &ports::free()?.port().to_string()]);
    Process::start("operator", &mut command, &logs.join("operator.log"))
}

async fn ready(plane: &ControlPlane, policy: &str) -> Result<()> {
    let name = format!("cisp/{policy}");
    let waited = plane
        .kubectl(&["wait", "--for=condition=Ready", READY, &name])
        .await;
    if waited.is_err() {
        eprintln!(
            "{}",
            plane.kubectl(&["get", "cisp,nip", "-o", "yaml"]).await?
        );
    }
    waited.map(drop)
}

/// A node with CRI-O's layout. CRI-O itself cannot be built here; what it verifies with can.
struct CrioNode(Folder);

impl CrioNode {
    fn new() -> Result<Self> {
        let node = Self(Folder::new("crio")?);
        let accept = json!({"default": [{"type": "insecureAcceptAnything"}]});
        for (path, text) in [
            ("root/etc/crio/policy.json", accept.to_string()),
            ("registries.conf", String::new()),
        ] {
            let path = node.0.join(path);
            let parent = path.parent().context("a file lies in a folder")?;
            fs::create_dir_all(parent).context("create a folder of the node")?;
            fs::write(&path, text).context("write a file of the node")?;
        }
        fs::create_dir_all(node.registries_d()).context("create registries.d")?;
        Ok(node)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn registries_d(&self) -> PathBuf {
        self.root().join("etc/containers/registries.d")
    }

    fn judged(&self, images: &[Exhibit], registry: &Registry) -> Result<Vec<Row>> {
        let mut judge = Judge::start()?;
        let mut rows = Vec::new();
        for exhibit in images {
            let question = Question {
                policy: self.root().join("etc/crio/policy.json").into(),
                registries_d: self.registries_d(),
                registries_conf: self.0.join("registries.conf"),
                image: exhibit.image.clone(),
            };
            let refusal = match judge.ask(&question)? {
                Verdict::Allowed => None,
                Verdict::Refused(why) | Verdict::Invalid(why) => Some(why),
            };
            ensure!(
                refusal.is_none() == exhibit.on_crio,
                "{exhibit:?}: {refusal:?}"
            );
            rows.push(row(exhibit, registry, refusal));
        }
        Ok(rows)
    }
}
