//! The proof on CRI-O: its own library decides by the file that the product writes, over TLS, and a
//! stand-in does around it what CRI-O was seen to do.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use e2e::judge::{Policy, Question, Verdict};
use e2e::keys::Kind;
use e2e::{Folder, Judge, Key};
use node_runtime::cri;
use node_runtime::probe::{self, Bypass, Doubt, Identity, Proof, Registry, judge};
use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, DefaultAction};
use policy::crio::document::PolicyJson;
use policy::crio::render::{CrioFacts, render};
use policy::digest::Digest;
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, PolicyDraft, PolicyId, RequirementDraft};
use policy::paths;
use policy::version::Version;

use crate::scene::{self, DEADLINE, facts, nonce, registry};

/// A stand-in for CRI-O: the policy by the real library, the rest as recorded.
struct Crio {
    judge: Mutex<Judge>,
    client: reqwest::Client,
    identity: Identity,
    policy: Mutex<Vec<u8>>,
    folder: Folder,
}

impl Crio {
    fn new(identity: &Identity, trusted: &str) -> Result<Arc<Self>> {
        // Another test may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(trusted.as_bytes())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([ca])
            .build()?;
        Ok(Arc::new(Self {
            judge: Mutex::new(Judge::start()?),
            client,
            identity: identity.clone(),
            policy: Mutex::new(Vec::new()),
            folder: Folder::new("crio")?,
        }))
    }

    /// Puts the policy.json in force that this bundle makes on a node whose own file accepts.
    fn enforce(&self, bundle: &Bundle) -> Result<()> {
        let facts_of_crio = CrioFacts {
            version: Version::new(1, 34, 1),
            policy_path: paths::CRIO_POLICY.to_owned(),
            namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
            base: PolicyJson::parse(ACCEPT.as_bytes())?,
            taken_locations: std::collections::BTreeSet::new(),
        };
        let node = facts(self.identity.port, bundle)?;
        let rendered = render(bundle, &node, &facts_of_crio);
        let file = rendered.policy.context("a policy.json")?;
        self.put(&file.bytes);
        Ok(())
    }

    fn put(&self, policy: &[u8]) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy.to_vec();
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let url = format!("https://{}/v2/{path}", self.identity.host());
        Ok(self.client.get(url).send().await?)
    }

    /// A pull: ping, manifest, policy, config.
    async fn pull(&self, image: &str) -> Result<(), String> {
        let text = |error: anyhow::Error| format!("{error:#}");
        let question = Question {
            policy: Policy::Bytes(
                self.policy
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone(),
            ),
            registries_d: self.folder.join("registries.d"),
            registries_conf: PathBuf::from("/nonexistent"),
            image: image.to_owned(),
        };
        // The file comes first.
        let parsed = {
            let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
            judge.ask(&Question {
                image: String::new(),
                ..question.clone()
            })
        };
        if let Ok(Verdict::Invalid(why)) = &parsed {
            return Err(format!(
                "invalid policy in \"/etc/crio/policy.json\": {why}"
            ));
        }
        // The judge does not look at certificates; CRI-O does.
        self.get("").await.map_err(text)?;
        let verdict = {
            let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
            judge.ask(&question)
        };
        match verdict.map_err(text)? {
            Verdict::Allowed => {}
            Verdict::Refused(why) => {
                return Err(format!(
                    "SignatureValidationFailed: Source image rejected: {why}"
                ));
            }
            Verdict::Invalid(why) => return Err(format!("invalid policy in \"x\": {why}")),
        }
        let (_, path) = image.split_once('/').unwrap_or_default();
        let (repository, reference) = path
            .split_once('@')
            .or_else(|| path.rsplit_once(':'))
            .unwrap_or_default();
        let manifest = self
            .get(&format!("{repository}/manifests/{reference}"))
            .await
            .map_err(text)?;
        let manifest = manifest.bytes().await.map_err(|error| error.to_string())?;
        let manifest: serde_json::Value =
            serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        let config = manifest["config"]["digest"].as_str().unwrap_or_default();
        let blob = self
            .get(&format!("{repository}/blobs/{config}"))
            .await
            .map_err(text)?;
        if blob.status().is_success() {
            return Ok(());
        }
        Err(format!(
            "reading blob {config}: fetching blob: blob unknown to registry"
        ))
    }
}

async fn proof(crio: &Arc<Crio>, registry: &mut Registry, bundle: &Digest) -> Result<Proof> {
    let pull = |image: String| {
        let crio = Arc::clone(crio);
        async move {
            crio.pull(&image)
                .await
                .map_err(|message| cri::Error::Refused {
                    call: "PullImage",
                    code: tonic::Code::Unknown,
                    message,
                })
        }
    };
    let observed = probe::run(registry, pull, bundle, &nonce()?, DEADLINE).await;
    let proof = judge(probe::Kind::Crio, &observed);
    println!("{observed:#?}\n{proof}");
    Ok(proof)
}

/// A bundle with a policy: without any, CRI-O's own file stands as it is.
fn bundle(default_action: DefaultAction, exempt: &str) -> Result<Bundle> {
    let key = Key::generate(Kind::P256)?.public_pem()?;
    let draft = PolicyDraft {
        id: PolicyId::Cluster {
            name: "release".to_owned(),
        },
        scopes: vec!["release.example.com".to_owned()],
        exclude: Vec::new(),
        on_unsupported: OnUnsupported::default(),
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![AuthorityDraft::key("release", key)],
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    };
    let policy = policy::model::Policy::try_from(draft)
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let without = scene::bundle(default_action, exempt)?;
    Ok(Bundle::new(without.settings().clone(), [policy]))
}

const ACCEPT: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
const REJECT: &str = r#"{"default":[{"type":"reject"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn crios_library_decides_as_the_proof_wants() -> Result<()> {
    let (identity, mut registry) = registry(probe::Kind::Crio).await?;
    let crio = Crio::new(&identity, identity.ca())?;
    fs::create_dir(crio.folder.join("registries.d"))?;
    let why = Bypass::Fetched;
    for default_action in [DefaultAction::Allow, DefaultAction::Reject] {
        let now = bundle(default_action, "exempt.example.com/now")?;
        let digest = now.digest();
        crio.enforce(&now)?;
        let proven = proof(&crio, &mut registry, &digest).await?;
        assert_eq!(proven, Proof::Enforcing, "{default_action:?}");

        // The file of another bundle: what it does not know it lets pass, or refuses.
        crio.enforce(&bundle(default_action, "exempt.example.com/before")?)?;
        let proven = proof(&crio, &mut registry, &digest).await?;
        match default_action {
            DefaultAction::Allow => assert_eq!(proven, Proof::Bypassed { why }),
            DefaultAction::Reject => assert_eq!(proven.reason(), "RefusesEverything"),
        }
    }

    let digest = bundle(DefaultAction::Allow, "exempt.example.com/now")?.digest();
    // Files that are not ours: one that accepts, one that refuses, one that does not parse.
    crio.put(ACCEPT.as_bytes());
    assert_eq!(
        proof(&crio, &mut registry, &digest).await?,
        Proof::Bypassed { why }
    );
    crio.put(REJECT.as_bytes());
    assert_eq!(
        proof(&crio, &mut registry, &digest).await?.reason(),
        "RefusesEverything"
    );
    crio.put(br#"{"default":[{"type":"reject"}],"bogus":1}"#);
    let everything = proof(&crio, &mut registry, &digest).await?;
    assert_eq!(everything.reason(), "RefusesEverything");
    assert!(everything.to_string().contains("bogus"), "{everything}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crio_without_the_authority_in_certs_d_proves_nothing() -> Result<()> {
    let (identity, mut registry) = registry(probe::Kind::Crio).await?;
    let crio = Crio::new(&identity, Identity::generate()?.ca())?;
    let now = bundle(DefaultAction::Allow, "exempt.example.com/now")?;
    crio.enforce(&now)?;
    let proof = proof(&crio, &mut registry, &now.digest()).await?;
    assert!(
        matches!(&proof, Proof::Unknown { why: Doubt::NoRequest { connections, .. } } if *connections > 0),
        "{proof:?}"
    );
    Ok(())
}
