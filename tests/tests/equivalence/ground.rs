//! From what was drawn to real policies, files, images and signatures, and to both verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, anyhow};
use e2e::judge::{Question, Verdict};
use e2e::memory_registry::MemoryRegistry;
use e2e::sigstore::attachment::attach_memory;
use e2e::sigstore::payload::Payload;
use e2e::sigstore::signer::{Signature, Signer};
use e2e::{Folder, Image, Judge};
use image_verifier::candidate::Found;
use image_verifier::evaluate::evaluate;
use k8s_openapi::jiff::Timestamp;
use policy::authority::{AuthorityDraft, Signer as Signs};
use policy::bundle::{Bundle, DefaultAction, Settings};
use policy::capability::{self, Runtime};
use policy::crio::document::{PolicyJson, Rule, Rules, StrictMap};
use policy::crio::fields::Base64;
use policy::crio::matching::Match;
use policy::crio::render::{CrioFacts, render};
use policy::crio::sigstore::SigstoreSigned;
use policy::digest::Digest;
use policy::flatten::{NodeFacts, Outcome, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::paths;
use policy::reference::Reference;
use policy::scope::Scope;
use policy::version::Version;

use crate::draw::{
    Base, BaseRule, Case, DrawnAuthority, DrawnPolicy, DrawnScope, DrawnSignature, Fault, HOSTS,
    Identity, KEYS, Maker, PATHS, Pull, SignedName, TAGS, distinct,
};
use crate::sigstore::{Sigstore, candidates};

const NAMESPACE: &str = "ns";
const OLD: Version = Version::new(1, 30, 0);
const NEW: Version = Version::new(1, 34, 0);

/// Registry, judge and keys, which all cases share.
pub(crate) struct Ground {
    registry: MemoryRegistry,
    judge: Judge,
    folder: Folder,
    signers: Vec<(Signer, String)>,
    /// A key that signs nothing.
    nobody: String,
    sigstore: Sigstore,
    images: BTreeMap<(&'static str, &'static str, &'static str), Image>,
}

/// What both engines say, and what the case was about.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) crio: Verdict,
    pub(crate) ours: bool,
    /// What kinds of authorities stand in the policies that decide.
    pub(crate) kinds: BTreeSet<&'static str>,
}

impl Ground {
    pub(crate) fn new() -> Result<Self> {
        let registry = MemoryRegistry::start()?;
        let mut images = BTreeMap::new();
        for host in HOSTS {
            for path in PATHS {
                for tag in TAGS {
                    let content = format!("{host}/{path}:{tag}");
                    let image = registry.push_image(&format!("{host}/{path}"), tag, &content)?;
                    images.insert((host, path, tag), image);
                }
            }
        }
        let signer = || -> Result<_> {
            let signer = Signer::generate()?;
            let pem = signer.public_pem()?;
            Ok((signer, pem))
        };
        Ok(Self {
            judge: Judge::behind(&registry)?,
            registry,
            folder: Folder::new("equivalence")?,
            signers: (0..KEYS).map(|_| signer()).collect::<Result<_>>()?,
            nobody: signer()?.1,
            sigstore: Sigstore::new()?,
            images,
        })
    }

    /// Both verdicts.
    pub(crate) fn ask(&mut self, case: &Case) -> Result<Answer> {
        let image = self.image(case.image)?.clone();
        let signatures: Vec<Signature> = case
            .signatures
            .iter()
            .map(|signature| self.sign(signature, case.image, &image))
            .collect::<Result<_>>()?;
        attach_memory(&self.registry, &image, &signatures);
        let version = if case.old { OLD } else { NEW };
        let policies = self.policies(case)?;
        let settings = self.settings(case)?;
        let base = self.base(&case.base)?;
        let name = name(case.image, &image);
        let crio = self.crio(
            &policies,
            &settings,
            &base,
            version,
            case.in_namespace,
            &name,
        )?;
        let reference = Reference::parse(&name).map_err(|error| anyhow!("{name}: {error}"))?;
        let digest = Digest::parse(&image.digest).map_err(|error| anyhow!("{error}"))?;
        let found = Pulled {
            reference: &reference,
            digest: &digest,
            found: &candidates(&signatures),
        };
        let bundle = self.bundle(&policies, &settings, version, case.in_namespace)?;
        let (ours, kinds) = passes(&bundle, &found);
        let ours = ours && self.base_passes(&base, &found)?;
        Ok(Answer { crio, ours, kinds })
    }

    fn image(&self, pull: Pull) -> Result<&Image> {
        self.images
            .get(&(pull.host, pull.path, pull.tag))
            .context("every image is there")
    }

    fn sign(&self, drawn: &DrawnSignature, pull: Pull, image: &Image) -> Result<Signature> {
        let Pull {
            host, path, tag, ..
        } = pull;
        let other = TAGS[usize::from(tag == TAGS[0])];
        let digest = &image.digest;
        let name = match drawn.name {
            SignedName::Repository => format!("{host}/{path}"),
            SignedName::Tagged => format!("{host}/{path}:{tag}"),
            SignedName::OtherTag => format!("{host}/{path}:{other}"),
            SignedName::Digested => format!("{host}/{path}@{digest}"),
            SignedName::OtherRepository => format!("{host}/{path}-copy:{tag}"),
            SignedName::SecondHost => format!("{}/{path}:{tag}", HOSTS[1]),
        };
        let digest = if drawn.fault == Fault::OtherDigest {
            Digest::of(b"another").to_string()
        } else {
            digest.clone()
        };
        let mut payload = Payload::new(&name, &digest);
        // CRI-O demands an object here, see the differences that tests/judge names.
        payload.optional = serde_json::json!({});
        if drawn.fault == Fault::OtherKind {
            "something else".clone_into(&mut payload.kind);
        }
        let mut signature = match drawn.maker {
            Maker::Key(key) => self.signers[key].0.sign(&payload)?,
            maker => self.sigstore.sign(maker, &payload)?,
        };
        signature = self.sigstore.log(signature, drawn.logged)?;
        if drawn.fault == Fault::Tampered {
            signature.payload.push(b' ');
        }
        Ok(signature)
    }

    fn scope(&self, scope: DrawnScope) -> Result<String> {
        Ok(match scope {
            DrawnScope::Wildcard(host) | DrawnScope::Host(host) => host.to_owned(),
            DrawnScope::Parent(host, path) | DrawnScope::Repository(host, path) => {
                format!("{host}/{path}")
            }
            DrawnScope::Tag(host, path, tag) => format!("{host}/{path}:{tag}"),
            DrawnScope::Digest(host, path, tag) => {
                let pull = Pull {
                    host,
                    path,
                    tag,
                    by_digest: true,
                };
                format!("{host}/{path}@{}", self.image(pull)?.digest)
            }
        })
    }

    /// The scopes as they may be written: each once, and none that the API refuses.
    fn scopes(&self, drawn: &[DrawnScope]) -> Result<BTreeSet<Scope>> {
        let mut scopes = BTreeSet::new();
        for scope in drawn {
            let text = self.scope(*scope)?;
            // An organisation on Docker Hub cannot be named.
            scopes.extend(Scope::parse(&text).ok());
        }
        Ok(scopes)
    }

    fn policies(&self, case: &Case) -> Result<Vec<Policy>> {
        let mut policies = Vec::new();
        for (index, drawn) in case.policies.iter().enumerate() {
            policies.extend(self.policy(index, drawn)?);
        }
        Ok(policies)
    }

    /// Nothing where no scope is left.
    fn policy(&self, index: usize, drawn: &DrawnPolicy) -> Result<Option<Policy>> {
        let scopes = self.scopes(&drawn.scopes)?;
        let mut exclude = self.scopes(&drawn.exclude)?;
        exclude.retain(|scope| scopes.iter().any(|wider| scope.is_within(wider)));
        if scopes.is_empty() {
            return Ok(None);
        }
        let authorities = if drawn.threshold > 1 {
            distinct(&drawn.authorities)
        } else {
            drawn.authorities.clone()
        };
        let drafts = authorities.iter().enumerate().map(|(index, authority)| {
            let name = format!("a{index}");
            match authority {
                DrawnAuthority::Keys(keys, log) => {
                    let keys = keys.iter().map(|key| self.signers[*key].1.as_str());
                    self.sigstore.keys(name, keys.collect(), *log)
                }
                DrawnAuthority::Keyless { root, person } => {
                    self.sigstore.keyless(name, *root, *person)
                }
                DrawnAuthority::Company { company, person } => {
                    self.sigstore.company(name, *company, *person)
                }
            }
        });
        let name = format!("p{index}");
        let namespaced = drawn.namespaced;
        let draft = PolicyDraft {
            id: if namespaced {
                let namespace = NAMESPACE.to_owned();
                PolicyId::Namespaced { namespace, name }
            } else {
                PolicyId::Cluster { name }
            },
            scopes: scopes.iter().map(Scope::to_string).collect(),
            exclude: exclude.iter().map(Scope::to_string).collect(),
            on_unsupported: if drawn.reject_unsupported && !namespaced {
                OnUnsupported::Reject
            } else {
                OnUnsupported::Ignore
            },
            requirement: RequirementDraft {
                mode: if drawn.audit {
                    Mode::Audit
                } else {
                    Mode::Enforce
                },
                threshold: u32::try_from(drawn.threshold.min(authorities.len()))?,
                authorities: drafts.collect(),
                signed_identity: identity(drawn.identity),
            },
        };
        let policy = Policy::new(draft.clone(), &self.sigstore.roots);
        policy.map(Some).with_context(|| format!("{draft:?}"))
    }

    fn settings(&self, case: &Case) -> Result<Settings> {
        Ok(Settings {
            default_action: if case.reject_by_default {
                DefaultAction::Reject
            } else {
                DefaultAction::Allow
            },
            exempt_images: self.scopes(&case.exempt)?,
            ..Settings::default()
        })
    }

    fn base(&self, drawn: &Base) -> Result<PolicyJson> {
        let mut docker = StrictMap::default();
        for (scope, rule) in &drawn.entries {
            let rule = match rule {
                BaseRule::Accept => Rule::InsecureAcceptAnything {},
                BaseRule::Reject => Rule::Reject {},
                BaseRule::Key(key) => Rule::SigstoreSigned(Box::new(SigstoreSigned {
                    key_data: Some(Base64::of(self.signers[*key].1.as_bytes())),
                    signed_identity: Some(Match::MatchRepository {}),
                    ..SigstoreSigned::default()
                })),
            };
            docker.0.insert(self.scope(*scope)?, Rules::one(rule));
        }
        let default = if drawn.reject {
            Rule::Reject {}
        } else {
            Rule::InsecureAcceptAnything {}
        };
        let mut transports = StrictMap::default();
        transports.0.insert("docker".to_owned(), docker);
        Ok(PolicyJson {
            default: Rules::one(default),
            transports,
        })
    }

    /// CRI-O's verdict with the files that we render for it.
    fn crio(
        &mut self,
        policies: &[Policy],
        settings: &Settings,
        base: &PolicyJson,
        version: Version,
        in_namespace: bool,
        image: &str,
    ) -> Result<Verdict> {
        let bundle = Bundle::new(settings.clone(), policies.iter().cloned());
        let facts = CrioFacts {
            version,
            policy_path: paths::CRIO_POLICY.to_owned(),
            namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
            base: base.clone(),
            taken_locations: BTreeSet::new(),
        };
        let rendered = render(&bundle, &NodeFacts::default(), &facts);
        let own = rendered.namespaces.get(NAMESPACE).filter(|_| in_namespace);
        let bytes = own
            .or(rendered.policy.as_ref())
            .map(|file| file.bytes.clone());
        let registries_d = self.folder.join("registries.d");
        fs::create_dir_all(&registries_d)?;
        let locations = policy::crio::render::registries_d(&rendered.locations);
        let locations = locations.map(|file| file.bytes).unwrap_or_default();
        fs::write(registries_d.join("nodeseal.yaml"), locations)?;
        // The node looks signatures up where its own file demands them.
        let mut text = "docker:\n".to_owned();
        for name in demanded(base).filter(|name| !rendered.locations.contains(*name)) {
            writeln!(text, "  {name:?}:\n    use-sigstore-attachments: true")?;
        }
        fs::write(registries_d.join("own.yaml"), text)?;
        let question = Question {
            policy: bytes.unwrap_or_else(|| base.to_json()).into(),
            registries_d,
            registries_conf: self.folder.join("registries.conf"),
            image: image.to_owned(),
        };
        self.judge.ask(&question)
    }

    /// What our own engine is to decide by. It knows no namespaces: what holds in one is what would
    /// hold if its policies were the cluster's.
    fn bundle(
        &self,
        policies: &[Policy],
        settings: &Settings,
        version: Version,
        in_namespace: bool,
    ) -> Result<Bundle> {
        let mut all = Vec::new();
        for policy in policies {
            if policy.id().namespace().is_some() && !in_namespace {
                continue;
            }
            let mut draft = PolicyDraft::from(policy.clone());
            if !capability::of(policy, Runtime::Crio(version)).is_expressible() {
                let enforces = policy.requirement().mode() == Mode::Enforce;
                if policy.on_unsupported() == OnUnsupported::Ignore || !enforces {
                    continue;
                }
                draft.requirement.authorities = vec![AuthorityDraft::key("nobody", &self.nobody)];
                draft.requirement.threshold = 1;
            }
            let name = policy.id().name().to_owned();
            draft.id = PolicyId::Cluster { name };
            all.push(Policy::new(draft, &self.sigstore.roots)?);
        }
        Ok(Bundle::new(settings.clone(), all))
    }

    /// What the node's own file says, by our engine: its most specific entry decides.
    fn base_passes(&self, base: &PolicyJson, pulled: &Pulled<'_>) -> Result<bool> {
        let rules = base.docker_rules(&pulled.reference.lookup());
        for rule in rules.as_slice() {
            let passes = match rule {
                Rule::InsecureAcceptAnything {} => true,
                Rule::SigstoreSigned(signed) => {
                    let data = signed.key_data.as_ref().context("a key is drawn")?;
                    let key = |(_, pem): &&(Signer, String)| Base64::of(pem.as_bytes()) == *data;
                    let (_, pem) = self.signers.iter().find(key).context("of ours")?;
                    passes(&demanding(pem, pulled.reference)?, pulled).0
                }
                _ => false,
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// An image with what was found about it.
struct Pulled<'a> {
    reference: &'a Reference,
    digest: &'a Digest,
    found: &'a [Found],
}

/// The verdict of our own engine, and the kinds of authorities that it asked.
fn passes(bundle: &Bundle, pulled: &Pulled<'_>) -> (bool, BTreeSet<&'static str>) {
    let flat = flatten(bundle, &NodeFacts::default());
    let decision = flat.decide(pulled.reference);
    let policies = match &decision.outcome {
        Outcome::Exempt | Outcome::Default(DefaultAction::Allow) => return (true, BTreeSet::new()),
        Outcome::Refused | Outcome::Default(DefaultAction::Reject) => {
            return (false, BTreeSet::new());
        }
        Outcome::Verify(policies) => policies,
    };
    let Pulled {
        reference,
        digest,
        found,
    } = pulled;
    let verdict = evaluate(&decision, found, reference, digest, Timestamp::now());
    let authorities = policies.iter().flat_map(|(_, policy)| policy.authorities());
    let kinds = authorities.map(|authority| match authority.signer() {
        Signs::Key(key) if key.log().is_some() => "logged key",
        Signs::Key(_) => "key",
        Signs::Keyless(_) => "keyless",
        Signs::Certificate(_) => "certificate",
    });
    (verdict.refusal.is_none(), kinds.collect())
}

/// That this key has signed this very repository.
fn demanding(pem: &str, image: &Reference) -> Result<Bundle> {
    let host = image.repository();
    let host = host.split('/').next().unwrap_or_default();
    let policy = Policy::try_from(PolicyDraft {
        id: PolicyId::Cluster {
            name: "base".to_owned(),
        },
        scopes: vec![host.strip_suffix(":443").unwrap_or(host).to_owned()],
        exclude: Vec::new(),
        on_unsupported: OnUnsupported::Ignore,
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![AuthorityDraft::key("base", pem)],
            signed_identity: identity(Identity::Repository),
        },
    })?;
    Ok(Bundle::new(Settings::default(), [policy]))
}

/// The scopes at which the node's own file demands signatures.
fn demanded(base: &PolicyJson) -> impl Iterator<Item = &String> {
    let docker = base.transports.0.values().flat_map(|scopes| &scopes.0);
    docker
        .filter(|(_, rules)| matches!(rules.as_slice(), [Rule::SigstoreSigned(_)]))
        .map(|(name, _)| name)
}

fn identity(drawn: Identity) -> SignedIdentity {
    match drawn {
        Identity::Repository => SignedIdentity::MatchRepository {
            unnamed: UnnamedSignatures::Accept,
        },
        Identity::DigestOrExact => SignedIdentity::MatchRepoDigestOrExact,
        Identity::Exact(host) => SignedIdentity::ExactRepository {
            repository: format!("{}/{}", HOSTS[host], PATHS[0]),
        },
        Identity::Remap => SignedIdentity::RemapIdentity {
            prefix: HOSTS[0].to_owned(),
            signed_prefix: HOSTS[1].to_owned(),
        },
    }
}

/// The image as a pod names it.
fn name(pull: Pull, image: &Image) -> String {
    let Pull {
        host, path, tag, ..
    } = pull;
    if pull.by_digest {
        format!("{host}/{path}@{}", image.digest)
    } else {
        format!("{host}/{path}:{tag}")
    }
}
