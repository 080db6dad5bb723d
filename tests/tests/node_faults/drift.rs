//! Somebody else changes, removes or replaces what the agent keeps.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use anyhow::{Result, ensure};

use crate::node::{
    Ask, CRIO_POLICY, DROP_IN, FOLDER,
    Kind::{self, Containerd, Crio},
    Node, POLICY, REGISTRIES, SHIPPED, STATE, VERIFIER, program,
};
use crate::run::{Case, Recovered, full};
use crate::sight::Allowed::{self, Held, Open, Refused};

#[allow(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, kind, allowed, fault: fn(&Node) -> Result<()>| {
        let name = format!("drift: {name}");
        Case::new(name, "put back", move || drift(kind, allowed, fault))
    };
    vec![
        case(
            "the policy lets everything pass",
            Containerd,
            Open,
            |node| {
                let text = String::from_utf8(node.read(POLICY).unwrap_or_default())?;
                node.put(
                    POLICY,
                    text.replace("kept.example", "somewhere.else").as_bytes(),
                )
            },
        ),
        case("the policy is cut", Containerd, Refused, |node| {
            let bytes = node.read(POLICY).unwrap_or_default();
            node.put(POLICY, &bytes[..bytes.len() / 2])
        }),
        case("the policy is removed", Containerd, Refused, |node| {
            Ok(fs::remove_file(node.at(POLICY))?)
        }),
        case("the policy is a link", Containerd, Refused, |node| {
            symlink("/etc/passwd", node.beside("link"))?;
            Ok(fs::rename(node.beside("link"), node.at(POLICY))?)
        }),
        case(
            "the verifier is a link to another program",
            Containerd,
            Refused,
            |node| {
                symlink("/bin/true", node.beside("link"))?;
                Ok(fs::rename(node.beside("link"), node.at(VERIFIER))?)
            },
        ),
        case("everyone may write the policy", Containerd, Held, |node| {
            Ok(fs::set_permissions(
                node.at(POLICY),
                fs::Permissions::from_mode(0o666),
            )?)
        }),
        case(
            "the verifier belongs to another",
            Containerd,
            Held,
            |node| Ok(chown(node.at(VERIFIER), Some(65_534), Some(65_534))?),
        ),
        case("the verifier is garbage", Containerd, Refused, |node| {
            node.put(VERIFIER, b"garbage")
        }),
        case(
            "the verifier is replaced by a rename",
            Containerd,
            Refused,
            |node| {
                let other = node.beside("other");
                fs::write(&other, "#!/bin/sh\nexit 0\n")?;
                fs::set_permissions(&other, fs::Permissions::from_mode(0o755))?;
                Ok(fs::rename(other, node.at(VERIFIER))?)
            },
        ),
        case(
            "the verifier may not be executed",
            Containerd,
            Held,
            |node| {
                Ok(fs::set_permissions(
                    node.at(VERIFIER),
                    fs::Permissions::from_mode(0o644),
                )?)
            },
        ),
        case("the verifier is removed", Containerd, Open, |node| {
            Ok(fs::remove_file(node.at(VERIFIER))?)
        }),
        case(
            "the folder of verifiers is removed",
            Containerd,
            Open,
            |node| Ok(fs::remove_dir_all(node.at(FOLDER))?),
        ),
        case("/opt/nodeseal is removed", Containerd, Open, |node| {
            Ok(fs::remove_dir_all(node.at("opt/nodeseal"))?)
        }),
        case("/etc/nodeseal is removed", Containerd, Refused, |node| {
            Ok(fs::remove_dir_all(node.at("etc/nodeseal"))?)
        }),
        case("the drop-in is removed", Containerd, Open, |node| {
            Ok(fs::remove_file(node.at(DROP_IN))?)
        }),
        case(
            "the drop-in names another folder",
            Containerd,
            Open,
            |node| {
                let text = String::from_utf8(node.read(DROP_IN).unwrap_or_default())?;
                node.put(DROP_IN, text.replace(FOLDER, "opt/other").as_bytes())
            },
        ),
        case(
            "the folder of drop-ins is removed",
            Containerd,
            Open,
            |node| Ok(fs::remove_dir_all(node.at("etc/containerd/conf.d"))?),
        ),
        case(
            "a package upgrade brings its policy.json",
            Crio,
            Open,
            |node| {
                let staged = node.beside("package");
                fs::write(&staged, SHIPPED)?;
                Ok(fs::rename(staged, node.at(CRIO_POLICY))?)
            },
        ),
        case("policy.json is removed", Crio, Refused, |node| {
            Ok(fs::remove_file(node.at(CRIO_POLICY))?)
        }),
        case("policy.json is cut", Crio, Refused, |node| {
            let bytes = node.read(CRIO_POLICY).unwrap_or_default();
            node.put(CRIO_POLICY, &bytes[..bytes.len() / 2])
        }),
        case("registries.d is removed", Crio, Refused, |node| {
            Ok(fs::remove_dir_all(node.at("etc/containers/registries.d"))?)
        }),
        case("registries.d looks up nothing", Crio, Refused, |node| {
            node.put(REGISTRIES, b"docker: {}\n")
        }),
        Case::new(
            "drift: another program is put beside the verifier",
            "told; the verifier goes on",
            foreign,
        ),
        Case::new(
            "drift: another program, and the policy lets everything pass",
            "put back all the same",
            foreign_and_more,
        ),
        Case::new(
            "drift: the folder of verifiers is a link",
            "told; nothing of the other folder is changed",
            link,
        ),
        Case::new(
            "drift: the policy is a folder",
            "told; then put back",
            folder,
        ),
        Case::new(
            "drift: the import is removed by the administrator",
            "made again",
            import,
        ),
        Case::new(
            "drift: a file is changed again and again",
            "put back, with few copies",
            often,
        ),
    ]
}

async fn settled(kind: Kind) -> Result<Node> {
    let node = Node::running(kind).await?;
    node.until("the first look to end", |node| {
        node.condition("Applied").starts_with("True")
    })
    .await?;
    node.is_at_rest().await?;
    Ok(node)
}

/// Put back, and so it stays: also for an agent that is asked for something else next.
async fn drift(kind: Kind, allowed: Allowed, fault: fn(&Node) -> Result<()>) -> Result<Recovered> {
    let node = settled(kind).await?;
    let sight = node.sight();
    fault(&node)?;
    let took = node.brings(Ask::Old).await?;
    node.ask(Ask::New)?;
    node.brings(Ask::New).await?;
    sight.end(allowed)?;
    node.is_at_rest().await?;
    Ok(Recovered(Some(took)))
}

async fn foreign() -> Result<Recovered> {
    let node = settled(Kind::Containerd).await?;
    let sight = node.sight();
    let other = format!("{FOLDER}/a-other");
    node.put(&other, b"#!/bin/sh\nexit 0\n")?;
    node.until("it to be told", |node| {
        node.status().to_string().contains("a-other")
    })
    .await?;
    // It is not the agent's to remove, and every verifier has to agree.
    ensure!(node.at(&other).exists() && node.read(VERIFIER) == Some(program(1)));
    node.ask(Ask::New)?;
    fs::remove_file(node.at(&other))?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

/// That something is in the way at one place keeps nothing else from being put back.
async fn foreign_and_more() -> Result<Recovered> {
    let node = settled(Kind::Containerd).await?;
    let sight = node.sight();
    let other = format!("{FOLDER}/a-other");
    node.put(&other, b"#!/bin/sh\nexit 0\n")?;
    node.until("it to be told", |node| {
        node.status().to_string().contains("a-other")
    })
    .await?;
    let before = node.read(POLICY);
    let text = String::from_utf8(before.clone().unwrap_or_default())?;
    node.put(
        POLICY,
        text.replace("kept.example", "somewhere.else").as_bytes(),
    )?;
    let took = node
        .until("the policy to be put back", |node| {
            node.read(POLICY) == before
        })
        .await?;
    fs::remove_file(node.at(&other))?;
    node.brings(Ask::Old).await?;
    sight.end(Allowed::Open)?;
    Ok(Recovered(Some(took)))
}

async fn link() -> Result<Recovered> {
    let node = settled(Kind::Containerd).await?;
    let sight = node.sight();
    let elsewhere = node.at("opt/elsewhere");
    fs::create_dir(&elsewhere)?;
    fs::write(elsewhere.join("theirs"), "theirs")?;
    fs::remove_dir_all(node.at(FOLDER))?;
    symlink(&elsewhere, node.at(FOLDER))?;
    node.until("it to be told", |node| {
        node.condition("Applied").starts_with("False")
    })
    .await?;
    let names = fs::read_dir(&elsewhere)?.count();
    ensure!(
        names == 1,
        "something was written into {}",
        elsewhere.display()
    );
    fs::remove_file(node.at(FOLDER))?;
    let took = node.brings(Ask::Old).await?;
    sight.end(Allowed::Open)?;
    Ok(Recovered(Some(took)))
}

/// What is a folder is not the agent's to take away: it is told, and pulls are refused meanwhile.
async fn folder() -> Result<Recovered> {
    let node = settled(Kind::Containerd).await?;
    let sight = node.sight();
    fs::remove_file(node.at(POLICY))?;
    fs::create_dir(node.at(POLICY))?;
    let told = |node: &Node| node.condition("Applied").contains("ForeignOwner");
    node.until("it to be told", told).await?;
    fs::remove_dir(node.at(POLICY))?;
    let took = node.brings(Ask::Old).await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}

/// Of a root file without the line, which the agent then edits.
async fn import() -> Result<Recovered> {
    let mut node = Node::new(Kind::Containerd)?;
    let plain =
        "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n";
    node.put("etc/containerd/config.toml", plain.as_bytes())?;
    node.start()?;
    let imports = |node: &Node| {
        let text = node.read("etc/containerd/config.toml").unwrap_or_default();
        String::from_utf8_lossy(&text).contains("conf.d")
    };
    node.until("the import", imports).await?;
    node.until("the first look to end", |node| {
        node.condition("Applied").starts_with("True")
    })
    .await?;
    let sight = node.sight();
    let changed = format!("{plain}# with a change\n");
    node.put("etc/containerd/config.toml", changed.as_bytes())?;
    let took = node.until("the import", imports).await?;
    let text = node.read("etc/containerd/config.toml").unwrap_or_default();
    ensure!(
        String::from_utf8_lossy(&text).contains("# with a change"),
        "a change was lost"
    );
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}

/// Somebody who insists: the disk does not fill up with copies of what they wrote.
async fn often() -> Result<Recovered> {
    let node = settled(Kind::Crio).await?;
    let sight = node.sight();
    for round in 0..if full() { 200 } else { 40 } {
        let text = format!("{SHIPPED}{}", " ".repeat(round));
        node.put(CRIO_POLICY, text.as_bytes())?;
        node.brings(Ask::Old).await?;
    }
    let copies = fs::read_dir(node.at(STATE).join("backup"))?.count();
    ensure!(copies < 50, "{copies} copies");
    sight.end(Allowed::Open)?;
    Ok(Recovered(None))
}
