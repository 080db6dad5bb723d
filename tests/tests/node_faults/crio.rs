//! A CRI-O that does not answer, answers nonsense, becomes another one, or cannot pull.
//!
//! Its socket is a stand-in that answers what a real one answered.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use e2e::cri::api::Image;
use e2e::crio_socket::{CrioSocket, Settings};
use e2e::policies::config;
use rustix::process::Signal;
use tonic::Status;
use xtask::product::Product;

use crate::node::{CRIO_POLICY, KEPT, Kind, Node, REGISTRIES, SHIPPED, policy, remove};
use crate::run::{Case, Recovered};
use crate::sight::{Allowed, Sight};

const SOCKET: &str = "run/crio/crio.sock";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

pub(crate) fn cases() -> Vec<Case> {
    let silent = |name: &str, how: Silence| {
        let name = format!("CRI-O: {name}");
        Case::new(name, "old and drift put back, then new", move || {
            silence(how)
        })
    };
    vec![
        silent("its socket is gone", Silence::NoSocket),
        silent("nobody listens", Silence::Refused),
        silent("it does not answer", Silence::Mute),
        silent("it answers nonsense", Silence::Nonsense),
        silent("its configuration is no TOML", Silence::Config),
        silent("it is another program", Silence::Other),
        Case::new(
            "CRI-O: stale images cannot be pulled, Hold",
            "waits, then new",
            || stale("Hold"),
        ),
        Case::new(
            "CRI-O: stale images cannot be pulled, Proceed",
            "new",
            || stale("Proceed"),
        ),
        Case::new(
            "CRI-O: the agent is killed while images are pulled again",
            "waits, then new",
            killed,
        ),
        Case::new(
            "CRI-O: files are changed while images are pulled again",
            "put back meanwhile",
            meanwhile,
        ),
        Case::new("CRI-O: it is upgraded under the agent", "new", || {
            becomes("1.36.0")
        }),
        Case::new(
            "CRI-O: it is downgraded under the agent",
            "only words that it knows",
            || becomes("1.30.0"),
        ),
        Case::new(
            "CRI-O: its policy is another file after a restart",
            "the new file, the old one as it was",
            moved,
        ),
    ]
}

/// How it does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    NoSocket,
    Refused,
    Mute,
    Nonsense,
    Config,
    Other,
}

/// A node whose CRI-O runs, and its agent.
struct Live {
    node: Node,
    crio: CrioSocket,
}

impl Live {
    fn new() -> Result<Self> {
        let node = Node::new(Kind::Crio)?;
        for name in ["kept.yaml", "other.yaml", "config.yaml"] {
            fs::remove_file(node.policies().join(name))?;
        }
        let image = |name: &str| Image {
            id: name.to_owned(),
            repo_tags: vec![format!("{name}:1")],
            repo_digests: vec![format!("{name}@{DIGEST}")],
            ..Image::default()
        };
        let crio = CrioSocket::start(Settings {
            version: "1.34.1".to_owned(),
            signature_policy: format!("/{CRIO_POLICY}"),
            signature_policy_dir: "/etc/crio/policies".to_owned(),
            images: vec![image(&format!("{KEPT}/app")), image("free.example/app")],
            ..Settings::default()
        })?;
        fs::create_dir_all(node.at("run/crio"))?;
        symlink(crio.socket(), node.at(SOCKET))?;
        Ok(Self { node, crio })
    }

    /// With policies in force.
    async fn start() -> Result<Self> {
        let mut live = Self::new()?;
        live.ask("old.example", "Hold")?;
        live.run()?;
        live.enforces("old.example").await?;
        live.node
            .until("the status", |node| {
                node.condition("Applied").starts_with("True")
            })
            .await?;
        live.node.is_at_rest().await?;
        Ok(live)
    }

    fn run(&mut self) -> Result<()> {
        let mut command = Command::new(Product::Agent.locate()?);
        command.arg("--policy-dir").arg(self.node.policies());
        command.arg("--root").arg(self.node.root());
        command.args(["--runtime-endpoint", &format!("unix:///{SOCKET}")]);
        self.node.start_as(command)
    }

    fn ask(&self, scope: &str, stale: &str) -> Result<()> {
        let lines = [
            "probe: {interval: 0s}".to_owned(),
            format!("crio: {{staleImages: {stale}}}"),
        ];
        let config = config(&lines.each_ref().map(String::as_str));
        self.node.write_policy("config.yaml", config.as_bytes())?;
        self.node
            .write_policy("kept.yaml", policy("kept", KEPT).as_bytes())?;
        self.node
            .write_policy("other.yaml", policy("other", scope).as_bytes())
    }

    fn has(&self, scope: &str) -> bool {
        let text = self.node.read(CRIO_POLICY).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&format!("\"{scope}"))
    }

    async fn enforces(&self, scope: &str) -> Result<std::time::Duration> {
        self.node.until("the policies", |_| self.has(scope)).await
    }

    fn sight(&self) -> Sight {
        self.node.sight()
    }
}

/// Somebody who listens at a socket and has nothing sensible to say.
struct Bad(Arc<AtomicBool>);

impl Bad {
    fn at(node: &Node, says: Option<&'static [u8]>) -> Result<Self> {
        let path = node.at(SOCKET);
        remove(&path)?;
        let listener = UnixListener::bind(&path)?;
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        thread::spawn(move || {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                match says {
                    // It stays open, and nothing comes.
                    None => open.push(stream),
                    // Whoever does not wait for it does not hear it.
                    Some(bytes) => drop(stream.write_all(bytes)),
                }
            }
        });
        Ok(Self(end))
    }
}

async fn silence(how: Silence) -> Result<Recovered> {
    let mut live = Live::start().await?;
    let sight = live.sight();
    let path = live.node.at(SOCKET);
    let mut bad = None;
    match how {
        Silence::NoSocket => remove(&path)?,
        Silence::Refused => live.crio.stop(),
        Silence::Mute => bad = Some(Bad::at(&live.node, None)?),
        Silence::Nonsense => {
            bad = Some(Bad::at(&live.node, Some(b"HTTP/1.1 200 OK\r\n\r\n\0\xff"))?);
        }
        Silence::Config => live
            .crio
            .change(|settings| settings.config = Some(b"\xff = [".to_vec())),
        Silence::Other => live
            .crio
            .change(|settings| "not a version".clone_into(&mut settings.version)),
    }
    live.node
        .until("the silence to be told", |node| {
            !node.condition("Detected").starts_with("True")
        })
        .await?;
    // What somebody removes is put back, and nothing goes off the node.
    let before = live.node.read(CRIO_POLICY);
    fs::write(live.node.at(CRIO_POLICY), "{}")?;
    live.node
        .until("the policy to be put back", |node| {
            node.read(CRIO_POLICY) == before
        })
        .await?;
    live.ask("new.example", "Hold")?;
    match how {
        Silence::NoSocket => symlink(live.crio.socket(), &path)?,
        Silence::Refused => live.crio.restart()?,
        Silence::Mute | Silence::Nonsense => {
            if let Some(bad) = &bad {
                bad.0.store(true, Ordering::Relaxed);
            }
            remove(&path)?;
            symlink(live.crio.socket(), &path)?;
        }
        Silence::Config => live.crio.change(|settings| settings.config = None),
        Silence::Other => live
            .crio
            .change(|settings| "1.34.1".clone_into(&mut settings.version)),
    }
    let took = live.enforces("new.example").await?;
    let detected = |node: &Node| node.condition("Detected").starts_with("True");
    live.node.until("the answer to be told", detected).await?;
    sight.end(Allowed::Refused)?;
    live.node.is_at_rest().await?;
    Ok(Recovered(Some(took)))
}

async fn stale(how: &str) -> Result<Recovered> {
    let mut live = Live::new()?;
    live.ask("old.example", how)?;
    live.crio.refuse("the registry is down");
    live.run()?;
    if how == "Hold" {
        live.node
            .until("the wait", |node| {
                node.condition("Applied").contains("StaleImages")
            })
            .await?;
        // Signatures are looked up, and no rule has changed.
        ensure!(live.node.read(CRIO_POLICY).as_deref() == Some(SHIPPED.as_bytes()));
        let looked_up = live.node.read(REGISTRIES).unwrap_or_default();
        ensure!(String::from_utf8_lossy(&looked_up).contains(KEPT));
        live.crio.on_pull(|_| async { Ok::<(), Status>(()) });
    }
    let took = live.enforces("old.example").await?;
    ensure!(!live.crio.pulls().is_empty(), "nothing was tried");
    Ok(Recovered(Some(took)))
}

async fn killed() -> Result<Recovered> {
    let mut live = Live::new()?;
    live.ask("old.example", "Hold")?;
    // It never comes to an end.
    live.crio
        .on_pull(|_| std::future::pending::<Result<(), Status>>());
    live.run()?;
    live.node
        .until("a pull", |_| !live.crio.pulls().is_empty())
        .await?;
    ensure!(live.node.read(CRIO_POLICY).as_deref() == Some(SHIPPED.as_bytes()));
    live.node.signal(Signal::KILL)?;
    live.node.is_gone().await?;
    live.crio.on_pull(|_| async { Ok::<(), Status>(()) });
    live.run()?;
    let took = live.enforces("old.example").await?;
    Ok(Recovered(Some(took)))
}

async fn meanwhile() -> Result<Recovered> {
    let live = Live::start().await?;
    let pulled = live.crio.pulls().len();
    live.crio
        .on_pull(|_| std::future::pending::<Result<(), Status>>());
    live.ask("free.example", "Hold")?;
    live.node
        .until("a pull", |_| live.crio.pulls().len() > pulled)
        .await?;
    let before = live.node.read(CRIO_POLICY);
    fs::write(live.node.at(CRIO_POLICY), "{}")?;
    let back = live
        .node
        .until("the policy to be put back", |node| {
            node.read(CRIO_POLICY) == before
        })
        .await;
    ensure!(
        live.crio.pulls().len() == pulled + 1,
        "the pull has ended: {back:?}"
    );
    Ok(Recovered(Some(back?)))
}

async fn becomes(version: &'static str) -> Result<Recovered> {
    let mut live = Live::start().await?;
    let sight = live.sight();
    live.crio.stop();
    live.crio
        .change(|settings| version.clone_into(&mut settings.version));
    live.crio.restart()?;
    live.ask("new.example", "Hold")?;
    let took = live.enforces("new.example").await?;
    let told = |node: &Node| node.status()["runtime"]["version"] == version;
    live.node.until("the version to be told", told).await?;
    sight.end(Allowed::Held)?;
    let text = live.node.read(CRIO_POLICY).unwrap_or_default();
    let newer = String::from_utf8_lossy(&text).contains("keyDatas");
    ensure!(
        version != "1.30.0" || !newer,
        "a word that it does not know"
    );
    Ok(Recovered(Some(took)))
}

async fn moved() -> Result<Recovered> {
    const OTHER: &str = "etc/crio/other.json";
    let mut live = Live::start().await?;
    live.node.put(OTHER, SHIPPED.as_bytes())?;
    live.crio.stop();
    live.crio
        .change(|settings| settings.signature_policy = format!("/{OTHER}"));
    live.crio.restart()?;
    let took = live
        .node
        .until("the other file", |node| {
            let text = node.read(OTHER).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(KEPT)
        })
        .await?;
    live.node
        .until("the first file as it was", |node| {
            node.read(CRIO_POLICY).as_deref() == Some(SHIPPED.as_bytes())
        })
        .await?;
    Ok(Recovered(Some(took)))
}
