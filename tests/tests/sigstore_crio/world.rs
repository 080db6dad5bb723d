//! What the cases share: a sigstore, a registry, a judge.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use anyhow::Result;
use e2e::judge::{Question, Verdict};
use e2e::sigstore::{Authority, Leaf, Log, Payload, Signature, Signer, attach_memory};
use e2e::{Folder, Image, Judge, MemoryRegistry};
use policy::crio::document::{PolicyJson, Rule, Rules, StrictMap};
use policy::crio::fields::Base64;
use policy::crio::matching::Match;
use policy::crio::sigstore::{Fulcio, SigstoreSigned};

pub(crate) const EMAIL: &str = "release@example.com";
pub(crate) const ISSUER: &str = "https://accounts.example.com";
const HOST: &str = "registry.example.com";

/// A Fulcio with an intermediate, a log, and where the images lie.
pub(crate) struct World {
    pub(crate) registry: MemoryRegistry,
    pub(crate) root: Authority,
    pub(crate) fulcio: Authority,
    pub(crate) log: Log,
    pub(crate) now: SystemTime,
}

/// An image, its signatures, and what must become of it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    what: &'static str,
    rule: SigstoreSigned,
    image: Image,
    signatures: Vec<Signature>,
    /// Nothing where it must be allowed, else what the refusal says.
    refusal: Option<&'static str>,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        let root = Authority::root("root")?;
        Ok(Self {
            registry: MemoryRegistry::start()?,
            fulcio: root.intermediate("fulcio")?,
            root,
            log: Log::new()?,
            now: SystemTime::now(),
        })
    }

    /// Who signs with a certificate of the name that the policies want.
    pub(crate) fn releaser(&self) -> Result<Signer> {
        self.fulcio.issue(&Leaf::new().email(EMAIL).issuer(ISSUER))
    }

    /// The rule that wants that name, from this Fulcio and this log.
    pub(crate) fn keyless(&self) -> Result<SigstoreSigned> {
        Ok(SigstoreSigned {
            fulcio: Some(trust(&self.root.pem())),
            rekor_public_key_data: Some(data(&self.log.public_pem()?)),
            ..rule()
        })
    }

    /// A new case with an image that is not signed yet.
    pub(crate) fn case(&self, what: &'static str, rule: &SigstoreSigned) -> Result<Case> {
        let name: String = what
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let repository = format!("{HOST}/{}", name.to_lowercase());
        Ok(Case {
            what,
            rule: rule.clone(),
            image: self.registry.push_image(&repository, "v1", what)?,
            signatures: Vec::new(),
            refusal: None,
        })
    }

    /// Each must get its verdict.
    pub(crate) fn judge(&self, cases: &[Case]) -> Result<()> {
        let folder = Folder::new("sigstore")?;
        fs::write(
            folder.join("attachments.yaml"),
            format!("docker:\n  {HOST}:\n    use-sigstore-attachments: true\n"),
        )?;
        let mut questions = Vec::new();
        for case in cases {
            attach_memory(&self.registry, &case.image, &case.signatures);
            let policy = case.policy().to_json();
            PolicyJson::parse(&policy)?;
            questions.push(Question {
                policy: policy.into(),
                registries_d: folder.path().to_owned(),
                registries_conf: folder.join("registries.conf"),
                image: case.image.by_tag(),
            });
        }
        let mut wrong = Vec::new();
        let verdicts = Judge::behind(&self.registry)?.ask_all(&questions)?;
        for (case, verdict) in cases.iter().zip(verdicts) {
            println!("{}: {verdict:?}", case.what);
            let right = match (&verdict, case.refusal) {
                (Verdict::Allowed, None) => true,
                (Verdict::Refused(why), Some(words)) => why.contains(words),
                _ => false,
            };
            if !right {
                let wanted = case.refusal.unwrap_or("allowed");
                wrong.push(format!("{}: {verdict:?}, wanted: {wanted}", case.what));
            }
        }
        println!("{} cases", cases.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }
}

impl Case {
    /// What a signature of this image is made over.
    pub(crate) fn payload(&self) -> Payload {
        Payload::new(&self.image.repository.full_name(), &self.image.digest)
    }

    /// What this signer makes of it.
    pub(crate) fn signature(&self, signer: &Signer) -> Result<Signature> {
        signer.sign(&self.payload())
    }

    /// With one more signature.
    pub(crate) fn with(mut self, signature: Signature) -> Self {
        self.signatures.push(signature);
        self
    }

    /// Signed by this signer, with no word of a log.
    pub(crate) fn signed(self, signer: &Signer) -> Result<Self> {
        let signature = self.signature(signer)?;
        Ok(self.with(signature))
    }

    /// Signed by this signer and taken down now.
    pub(crate) fn logged(self, signer: &Signer, log: &Log) -> Result<Self> {
        let signature = self.signature(signer)?.logged(log, SystemTime::now())?;
        Ok(self.with(signature))
    }

    /// It must be refused with these words.
    pub(crate) fn refused(mut self, words: &'static str) -> Self {
        self.refusal = Some(words);
        self
    }

    fn policy(&self) -> PolicyJson {
        let rule = Rule::SigstoreSigned(Box::new(self.rule.clone()));
        let docker = BTreeMap::from([(HOST.to_owned(), Rules::one(rule))]);
        PolicyJson {
            default: Rules::one(Rule::Reject {}),
            transports: StrictMap(BTreeMap::from([("docker".to_owned(), StrictMap(docker))])),
        }
    }
}

/// A rule that still lacks keys; a signature's name has no tag, as cosign writes it.
pub(crate) fn rule() -> SigstoreSigned {
    SigstoreSigned {
        signed_identity: Some(Match::MatchRepository {}),
        ..SigstoreSigned::default()
    }
}

/// The name that the policies want, certified below these certificates.
pub(crate) fn trust(certificates: &str) -> Fulcio {
    Fulcio {
        ca_data: Some(data(certificates)),
        oidc_issuer: ISSUER.to_owned(),
        subject_email: EMAIL.to_owned(),
        ..Fulcio::default()
    }
}

pub(crate) fn data(pem: &str) -> Base64 {
    Base64::of(pem.as_bytes())
}
