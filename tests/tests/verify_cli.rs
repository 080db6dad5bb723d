//! `nodeseal verify` against real registries: what users see on their desk is what nodes do.

#[path = "registry_access/gate.rs"]
#[allow(dead_code, reason = "shared with the tests of registry access")]
mod gate;
#[path = "registry_access/pki.rs"]
#[allow(dead_code, reason = "shared with the tests of registry access")]
mod pki;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use e2e::cosign::{Cosign, Format, Version, WAYS};
use e2e::keys::Kind;
use e2e::{Folder, Image, Key, Registry, signatures};
use serde_json::{Value, json};
use xtask::product::Product;

use gate::{PASSWORD, Plan, USER};

/// A folder with policies and what else lies on a desk.
struct Desk {
    folder: Folder,
    key: Key,
}

/// The exit code, and what was printed.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    /// One policy for everything in `scope`, by one key.
    fn new(scope: &str) -> Result<Self> {
        let desk = Self {
            folder: Folder::new("desk")?,
            key: Key::generate(Kind::P256)?,
        };
        let authority = desk.key.public_pem()?;
        desk.policy(&policy(scope, &[("release", &authority)], 1))?;
        // Not even empty: what a test does not ask for is not this machine's.
        fs::create_dir(desk.path("docker"))?;
        Ok(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn policy(&self, policy: &Value) -> Result<()> {
        fs::write(self.path("policy.json"), policy.to_string()).context("write a policy")
    }

    /// Writes the `config.json` with this user for a host.
    fn password(&self, host: &str, password: &str) -> Result<()> {
        let entry = json!({"username": USER, "password": password});
        let config = json!({"auths": {host: entry}}).to_string();
        fs::write(self.path("docker/config.json"), config).context("write a docker config")
    }

    async fn verify(&self, image: &str, more: &[&str]) -> Result<Said> {
        let mut command = Command::new(Product::Cli.locate()?);
        command
            .args(["verify", image, "-f"])
            .arg(self.path("policy.json"))
            .args(more)
            .env_clear()
            .env("DOCKER_CONFIG", self.path("docker"));
        // Waiting for it must not keep the servers of this test from answering.
        let output: Output = tokio::task::spawn_blocking(move || command.output())
            .await?
            .context("run nodeseal")?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    async fn report(&self, image: &str, code: i32) -> Result<Value> {
        let said = self.verify(image, &["--output", "json"]).await?;
        ensure!(said.code == Some(code), "not {code}: {said:?}");
        serde_json::from_str(&said.out).context("parse the report")
    }
}

/// A policy of these keys, by the names of their authorities.
fn policy(scope: &str, keys: &[(&str, &str)], threshold: u32) -> Value {
    let authorities: Vec<Value> = keys
        .iter()
        .map(|(name, pem)| json!({"name": name, "key": {"data": pem}}))
        .collect();
    json!({
        "apiVersion": "nodeseal.dev/v1alpha1",
        "kind": "ClusterImageSignaturePolicy",
        "metadata": {"name": "release-images"},
        "spec": {"scopes": [scope], "threshold": threshold, "authorities": authorities},
    })
}

/// An open registry, and the desk of somebody with a policy for `team`.
async fn scene() -> Result<(Registry, Desk)> {
    let registry = Registry::distribution().await?;
    let desk = Desk::new(&format!("{}/team", registry.host()))?;
    Ok((registry, desk))
}

#[tokio::test]
async fn what_either_cosign_signs_in_either_format_is_allowed() -> Result<()> {
    let (registry, desk) = scene().await?;
    for (number, (version, format)) in WAYS.into_iter().enumerate() {
        let cosign = Cosign::new(version)?;
        let pair = cosign.import_key("release", &desk.key).await?;
        let image = Image::push(&registry, &format!("team/app{number}"), "v1").await?;
        cosign.sign(&pair, format, &image.by_digest()).await?;
        let said = desk.verify(&image.by_digest(), &[]).await?;
        ensure!(said.code == Some(0), "{version:?} {format:?}: {said:?}");
        ensure!(said.out.contains(" allowed: signed by release"), "{said:?}");
        ensure!(
            said.out.contains("\npolicy release-images passes\n"),
            "{said:?}"
        );
        ensure!(said.out.contains("\n  release  signed  "), "{said:?}");
        ensure!(said.err.is_empty(), "{said:?}");
        ensure!(!said.out.contains('\u{1b}'), "{said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_signed_is_denied_with_what_to_do() -> Result<()> {
    let (registry, desk) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let said = desk.verify(&image.by_digest(), &[]).await?;
    ensure!(said.code == Some(1), "{said:?}");
    ensure!(
        said.out
            .contains(" DENIED: NoSignature: policy `release-images`"),
        "{said:?}"
    );
    ensure!(said.out.contains("Sign the image by digest"), "{said:?}");
    let report = desk.report(&image.by_digest(), 1).await?;
    ensure!(
        report["verdict"] == "denied" && report["reason"] == "NoSignature",
        "{report}"
    );
    ensure!(report["signatures"] == json!([]), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_strangers_signature_is_shown_and_denied() -> Result<()> {
    let (registry, desk) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let cosign = Cosign::new(Version::V3)?;
    let stranger = cosign.generate_key("stranger").await?;
    cosign
        .sign(&stranger, Format::Bundle, &image.by_digest())
        .await?;
    let report = desk.report(&image.by_digest(), 1).await?;
    ensure!(report["reason"] == "NoMatchingSignature", "{report}");
    let policy = &report["policies"][0];
    ensure!(
        policy["policy"] == "release-images" && policy["passes"] == false,
        "{report}"
    );
    let authority = &policy["authorities"][0];
    ensure!(
        authority["authority"] == "release" && authority["signed"] == false,
        "{report}"
    );
    ensure!(authority["reason"] == "NoMatchingSignature", "{report}");
    let found = report["signatures"].as_array().context("signatures")?;
    ensure!(found.len() == 1, "{report}");
    ensure!(
        found[0]["origin"].as_str().is_some_and(|at| !at.is_empty()),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn each_authority_of_a_threshold_is_told_apart() -> Result<()> {
    let (registry, desk) = scene().await?;
    let second = Key::generate(Kind::P256)?.public_pem()?;
    let scope = format!("{}/team", registry.host());
    let keys = [("first", desk.key.public_pem()?), ("second", second)];
    let keys = [
        (keys[0].0, keys[0].1.as_str()),
        (keys[1].0, keys[1].1.as_str()),
    ];
    desk.policy(&policy(&scope, &keys, 2))?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    signatures::sign(&image, &desk.key).await?;
    let report = desk.report(&image.by_digest(), 1).await?;
    let policy = &report["policies"][0];
    ensure!(policy["signedBy"] == json!(["first"]), "{report}");
    let [first, second] = &policy["authorities"].as_array().context("two")?[..] else {
        anyhow::bail!("not two authorities: {report}");
    };
    ensure!(
        first["signed"] == true && first["signatures"][0].is_string(),
        "{report}"
    );
    ensure!(
        second["signed"] == false && second["reason"] == "NoMatchingSignature",
        "{report}"
    );
    desk.policy(&self::policy(&scope, &keys, 1))?;
    let report = desk.report(&image.by_digest(), 0).await?;
    ensure!(
        report["policies"][0]["authorities"][1]["signed"] == false,
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn an_index_counts_by_its_own_digest() -> Result<()> {
    let (registry, desk) = scene().await?;
    let index = Image::push_index(&registry, "team/app", "v1").await?;
    signatures::sign(&index, &desk.key).await?;
    let report = desk.report(&index.by_digest(), 0).await?;
    ensure!(report["digest"] == index.digest, "{report}");
    Ok(())
}

#[tokio::test]
async fn a_tag_is_looked_up_and_stands_for_what_it_leads_to() -> Result<()> {
    for registry in [
        Registry::distribution().await?,
        Registry::with_referrers().await?,
    ] {
        let desk = Desk::new(&format!("{}/team", registry.host()))?;
        let image = Image::push(&registry, "team/app", "v1").await?;
        let index = Image::push_index(&registry, "team/index", "v1").await?;
        for image in [&image, &index] {
            signatures::sign(image, &desk.key).await?;
            let report = desk.report(&image.by_tag(), 0).await?;
            ensure!(report["digest"] == image.digest, "{report}");
        }
        // The tag moves on to what nobody signed.
        let moved = Image::push(&registry, "team/app", "v2").await?;
        let report = desk.report(&moved.by_tag(), 1).await?;
        ensure!(report["digest"] == moved.digest, "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tag_that_is_not_there_is_no_verdict() -> Result<()> {
    let (mut registry, desk) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let name = format!("{}:wrong", image.repository.full_name());
    let said = desk.verify(&name, &[]).await?;
    ensure!(said.code == Some(3) && said.out.is_empty(), "{said:?}");
    ensure!(said.err.contains("the registry has no image"), "{said:?}");
    registry.stop();
    let said = desk.verify(&image.by_tag(), &[]).await?;
    ensure!(said.code == Some(3) && said.out.is_empty(), "{said:?}");
    ensure!(
        said.err.contains("is not known: RegistryError: "),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_policy_of_the_namespace_counts_with_a_word_on_who_leaves_it_out() -> Result<()> {
    let (registry, desk) = scene().await?;
    let mut own = policy(
        &format!("{}/team", registry.host()),
        &[("release", &desk.key.public_pem()?)],
        1,
    );
    own["kind"] = json!("ImageSignaturePolicy");
    own["metadata"]["namespace"] = json!("team");
    desk.policy(&own)?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let name = image.by_digest();
    let said = desk.verify(&name, &[]).await?;
    ensure!(said.code == Some(0), "{said:?}");
    let said = desk.verify(&name, &["-n", "team"]).await?;
    ensure!(said.code == Some(1), "{said:?}");
    let note = "note: containerd tells no verifier the namespace, so its nodes leave out `team/release-images`";
    ensure!(said.out.contains(note), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_policy_that_only_reports_denies_nothing_and_is_shown() -> Result<()> {
    let (registry, desk) = scene().await?;
    let scope = format!("{}/team", registry.host());
    let mut audit = policy(&scope, &[("release", &desk.key.public_pem()?)], 1);
    audit["spec"]["mode"] = json!("Audit");
    desk.policy(&audit)?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let said = desk.verify(&image.by_digest(), &[]).await?;
    ensure!(said.code == Some(0), "{said:?}");
    let line = "policy release-images would fail (only reports)";
    ensure!(said.out.contains(line), "{said:?}");
    ensure!(said.out.contains("  release  NoSignature: "), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_is_down_is_no_verdict() -> Result<()> {
    let (mut registry, desk) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    signatures::sign(&image, &desk.key).await?;
    registry.stop();
    let said = desk.verify(&image.by_digest(), &[]).await?;
    ensure!(said.code == Some(3), "{said:?}");
    ensure!(
        said.out.contains(" could not tell: RegistryError: "),
        "{said:?}"
    );
    registry.restart().await?;
    let said = desk.verify(&image.by_digest(), &[]).await?;
    ensure!(said.code == Some(0), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn dockers_credentials_open_a_registry() -> Result<()> {
    let open = Registry::distribution().await?;
    let gate = Plan::over(&open)?.password()?.start().await?;
    let host = gate.local();
    let desk = Desk::new(&format!("{host}/team"))?;
    let image = Image::push(&open, "team/app", "v1").await?;
    let name = format!("{host}/team/app");
    let payload = signatures::payload(&name, &image.digest);
    let signature = desk.key.sign(&payload)?;
    signatures::attach(&image, &[(payload, signature)]).await?;
    let name = format!("{name}@{}", image.digest);
    let report = desk.report(&name, 3).await?;
    ensure!(
        report["verdict"] == "unknown" && report["reason"] == "RegistryDenied",
        "{report}"
    );
    desk.password(&host, "battery staple")?;
    desk.report(&name, 3).await?;
    desk.password(&host, PASSWORD)?;
    desk.report(&name, 0).await?;
    // The same by name, the folder or the file, wherever the variable leads.
    let config = desk.path("docker/config.json");
    let moved = desk.path("elsewhere.json");
    fs::rename(config, &moved)?;
    desk.report(&name, 3).await?;
    let moved = moved.display().to_string();
    let said = desk.verify(&name, &["--docker-config", &moved]).await?;
    ensure!(said.code == Some(0), "{said:?}");
    ensure!(!format!("{said:?}").contains(PASSWORD), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_hosts_toml_leads_to_a_registry() -> Result<()> {
    let (registry, desk) = (Registry::distribution().await?, Desk::new("registry.test")?);
    let image = Image::push(&registry, "team/app", "v1").await?;
    let payload = signatures::payload("registry.test/team/app", &image.digest);
    let signature = desk.key.sign(&payload)?;
    signatures::attach(&image, &[(payload, signature)]).await?;
    let folder = desk.path("certs.d/registry.test");
    fs::create_dir_all(&folder)?;
    let server = format!("server = \"http://{}\"\n", registry.host());
    fs::write(folder.join("hosts.toml"), server)?;
    let name = format!("registry.test/team/app@{}", image.digest);
    let certs = desk.path("certs.d").display().to_string();
    let said = desk.verify(&name, &["--certs-dir", &certs]).await?;
    ensure!(said.code == Some(0), "{said:?}");
    let said = desk.verify(&name, &["--timeout", "5"]).await?;
    ensure!(said.code == Some(3), "{said:?}");
    Ok(())
}
