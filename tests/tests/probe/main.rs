//! The proof of enforcement on a real containerd: what it says of a node that enforces, and of every
//! way in which one does not.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests"
)]

mod crio;
mod scene;

use std::fs;

use anyhow::Result;
use e2e::oci::MANIFEST;
use e2e::{MemoryRegistry, ports};
use node_runtime::probe::{Bypass, Doubt, Kind, Proof, Registry, judge};
use policy::bundle::DefaultAction;
use policy::paths;
use xtask::peers;

use crate::scene::{Scene, Verifier, nonce, told, write};

/// Settings of containerd's images, as a drop-in.
fn images(line: &str) -> String {
    format!("[plugins.'io.containerd.cri.v1.images']\n{line}")
}

#[tokio::test]
async fn a_node_that_enforces_is_proven_to_whatever_the_default_action_is() -> Result<()> {
    for default_action in [DefaultAction::Allow, DefaultAction::Reject] {
        let mut scene = Scene::start(default_action, "", Verifier::Ours).await?;
        // Nothing of one proof stands in the way of the next.
        for _ in 0..3 {
            assert_eq!(scene.proof().await?, Proof::Enforcing, "{default_action:?}");
        }
        // The look at what is stored went to where containerd stores.
        assert!(scene.content("ingest").is_dir());
    }
    Ok(())
}

#[tokio::test]
async fn a_node_whose_pulls_are_local_is_bypassed() -> Result<()> {
    for line in [
        "discard_unpacked_layers = true",
        "use_local_image_pull = true",
        "max_concurrent_downloads = 5",
    ] {
        let mut scene = Scene::with(&images(line)).await?;
        let why = Bypass::Fetched;
        assert_eq!(scene.proof().await?, Proof::Bypassed { why }, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_without_a_verifier_is_bypassed() -> Result<()> {
    let mut scene = Scene::start(DefaultAction::Reject, "", Verifier::Missing).await?;
    let why = Bypass::Fetched;
    assert_eq!(scene.proof().await?, Proof::Bypassed { why });
    // An empty folder allows as well.
    fs::create_dir_all(scene.node.root().join(paths::VERIFIER_DIR))?;
    assert_eq!(scene.proof().await?, Proof::Bypassed { why });
    Ok(())
}

#[tokio::test]
async fn a_verifier_past_the_most_that_containerd_asks_is_bypassed() -> Result<()> {
    let none = "[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0";
    let mut scene = Scene::with(none).await?;
    let why = Bypass::Fetched;
    assert_eq!(scene.proof().await?, Proof::Bypassed { why });
    Ok(())
}

#[tokio::test]
async fn a_verifier_that_fails_refuses_everything() -> Result<()> {
    // A program that ends with 1 on arguments that it does not know, and says something else.
    let other = fs::read(peers::locate("containerd")?)?;
    let script = b"#!/no/such/interpreter\nexit 1\n".to_vec();
    // The head of a 64-bit ELF file for a machine that does not exist (e_machine 0xffff).
    let mut alien = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xff\xff".to_vec();
    alien.resize(4096, 0);
    for (name, program, mode) in [
        ("ends with 1", other.clone(), 0o755),
        ("no interpreter", script, 0o755),
        ("another architecture", alien, 0o755),
        ("empty", Vec::new(), 0o755),
        ("not executable", other, 0o644),
    ] {
        let verifier = Verifier::Other(program, mode);
        let mut scene = Scene::start(DefaultAction::Allow, "", verifier).await?;
        let proof = scene.proof().await?;
        assert_eq!(proof.reason(), "RefusesEverything", "{name}: {proof}");
    }
    Ok(())
}

#[tokio::test]
async fn a_verifier_without_a_policy_that_it_can_read_refuses_everything() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let policy = scene.node.root().join(paths::VERIFIER_POLICY);
    write(&policy, b"{}", 0o644)?;
    let proof = scene.proof().await?;
    assert_eq!(proof.reason(), "RefusesEverything", "{proof}");
    fs::remove_file(&policy)?;
    let proof = scene.proof().await?;
    assert_eq!(proof.reason(), "RefusesEverything", "{proof}");
    assert!(proof.to_string().contains("PolicyError"), "{proof}");
    Ok(())
}

#[tokio::test]
async fn an_older_table_is_seen() -> Result<()> {
    let mut scene = Scene::with("").await?;
    assert_eq!(scene.proof().await?, Proof::Enforcing);
    let seen = scene.put_older_table(DefaultAction::Reject)?;
    assert_eq!(scene.proof().await?, Proof::StaleBundle { seen });
    // One that lets pass what it does not know says nothing; it looks like no verifier at all.
    scene.put_older_table(DefaultAction::Allow)?;
    let proof = scene.proof().await?;
    let why = Bypass::Fetched;
    assert_eq!(proof, Proof::Bypassed { why });
    assert!(proof.to_string().contains("older policy"), "{proof}");
    Ok(())
}

#[tokio::test]
async fn a_stopped_runtime_proves_nothing() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let socket = scene.node.socket();
    // Another node takes its place that was never booted: nobody listens there.
    scene.node = e2e::Node::prepare(None)?;
    assert!(!socket.exists());
    let observed = scene.observe().await?;
    let proof = told(&observed);
    assert!(
        matches!(&proof, Proof::Unknown { why: Doubt::Unreachable(text) } if text.contains("containerd.sock")),
        "{proof:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_port_that_somebody_else_has_proves_nothing() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let taken = Registry::bind(&scene.identity, Kind::Containerd).await;
    let proof = Proof::from(&taken.expect_err("the port is taken"));
    assert!(
        matches!(
            proof,
            Proof::Unknown {
                why: Doubt::PortTaken(_)
            }
        ),
        "{proof:?}"
    );
    assert_eq!(scene.proof().await?, Proof::Enforcing);
    Ok(())
}

/// Lets containerd ask this host first, whatever registry an image names.
fn mirror(scene: &Scene, host: &str) -> Result<()> {
    let text = format!("[host.'http://{host}']\n  capabilities = ['pull', 'resolve']\n");
    let path = "etc/containerd/certs.d/_default/hosts.toml";
    write(&scene.node.root().join(path), text.as_bytes(), 0o644)
}

#[tokio::test]
async fn a_mirror_that_does_not_have_the_images_is_no_obstacle() -> Result<()> {
    let config_path =
        "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d'";
    let mut scene = Scene::with(config_path).await?;
    let empty = MemoryRegistry::start()?;
    mirror(&scene, empty.proxy().trim_start_matches("http://"))?;
    assert_eq!(scene.proof().await?, Proof::Enforcing);
    // Nobody there at all.
    mirror(&scene, &ports::free()?.to_string())?;
    assert_eq!(scene.proof().await?, Proof::Enforcing);
    Ok(())
}

#[tokio::test]
async fn a_mirror_that_answers_for_the_probe_is_named() -> Result<()> {
    let config_path =
        "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d'";
    let mut scene = Scene::with(config_path).await?;
    let registry = MemoryRegistry::start()?;
    let host = registry.proxy().trim_start_matches("http://").to_owned();
    mirror(&scene, &host)?;
    let nonce = nonce()?;
    let deny = scene.names(&nonce).deny();
    let (_, path) = deny.split_once('/').expect("a path");
    let (path, tag) = path.rsplit_once(':').expect("a tag");
    let other = br#"{"schemaVersion":2}"#;
    registry.push_manifest(&format!("{host}/{path}"), tag, MANIFEST, other);
    let observed = scene.observe_with(&nonce).await;
    let proof = told(&observed);
    assert!(
        matches!(&proof, Proof::Unknown { why: Doubt::Elsewhere(text) } if text.contains("SignatureValidationFailed")),
        "{proof:?}"
    );
    assert!(proof.to_string().contains("_default/hosts.toml"), "{proof}");
    Ok(())
}

/// A folder of settings that wants TLS of the loopback registry.
#[tokio::test]
async fn a_runtime_that_is_told_to_speak_tls_alone_is_seen_to_have_connected() -> Result<()> {
    let config_path =
        "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d'";
    let mut scene = Scene::with(config_path).await?;
    let host = scene.identity.host();
    let text = format!("server = 'https://{host}'\n[host.'https://{host}']\n");
    let path = format!("etc/containerd/certs.d/{host}/hosts.toml");
    write(&scene.node.root().join(path), text.as_bytes(), 0o644)?;
    let observed = scene.observe().await?;
    let proof = judge(Kind::Containerd, &observed);
    assert!(
        matches!(&proof, Proof::Unknown { why: Doubt::NoRequest { connections, .. } } if *connections > 0),
        "{observed:#?}"
    );
    Ok(())
}
