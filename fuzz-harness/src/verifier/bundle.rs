//! Sigstore bundles v0.1 to v0.3, over files and images.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use image_verifier::reason::{Reason, Refusal};
use image_verifier::sigstore::{
    Accepted, Artifact, Content, LogEntry, SigstoreBundle, TrustMaterial, VerifyError,
    verify_bundle, verify_with_keys,
};
use jiff::Timestamp;
use policy::digest::Digest;
use policy::key::PublicKey;
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

use super::is_one_line;
use super::world::{ISSUER, ROOT, SUBJECT};
use crate::IMAGE;
use crate::seeds;

pub(crate) const WORDS: &[&str] = &[
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.4",
    "mediaType",
    "verificationMaterial",
    "x509CertificateChain",
    "certificates",
    "certificate",
    "rawBytes",
    "publicKey",
    "hint",
    "tlogEntries",
    "logIndex",
    "logId",
    "keyId",
    "kindVersion",
    "hashedrekord",
    "dsse",
    "intoto",
    "0.0.1",
    "0.0.2",
    "integratedTime",
    "inclusionPromise",
    "signedEntryTimestamp",
    "inclusionProof",
    "rootHash",
    "treeSize",
    "hashes",
    "checkpoint",
    "envelope",
    "\\n\\n\\u2014 ",
    "canonicalizedBody",
    "timestampVerificationData",
    "rfc3161Timestamps",
    "signedTimestamp",
    "messageSignature",
    "messageDigest",
    "algorithm",
    "SHA2_256",
    "SHA2_384",
    "SHA2_512",
    "digest",
    "signature",
    "dsseEnvelope",
    "payload",
    "payloadType",
    "application/vnd.in-toto+json",
    "signatures",
    "sig",
    "keyid",
    "null",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "AAAA",
    "====",
];

/// Who signs the public conformance vectors.
const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
/// Who vouches for it.
const BEACON_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The cases that are refused for their root or their file alone: by others the bundle holds.
const SOUND: [&str; 5] = [
    "bundle-from-wrong-instance_fail",
    "invalid-ct-key_fail",
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail",
    "trust-root-tlog-missing-validity-start_fail",
    "wrong-material_fail",
];

/// One thing that is verified, by one root.
struct Question {
    artifact: Vec<u8>,
    digest: Digest,
    /// The digest of the root's text.
    root: Digest,
    trust: TrustMaterial,
    wanted: Wanted,
    /// What was truly signed: the answers to the bundles that came with it.
    known: Vec<Answer>,
}

#[derive(PartialEq, Eq)]
enum Wanted {
    Identity(&'static str, &'static str),
    Keys(Vec<PublicKey>),
}

/// All that an accepted bundle says.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    content: Content,
    signature: Vec<u8>,
    /// Whom the certificate names.
    claimed: String,
    times: BTreeSet<Timestamp>,
}

/// Every question is asked of the bundle, by file and by digest: it is accepted only for what was
/// signed, with that signature, by that signer, at a time that a log or an authority has signed.
#[must_use]
pub fn sigstore_bundle(data: &[u8]) -> bool {
    let parsed = SigstoreBundle::parse(data);
    assert_eq!(parsed, SigstoreBundle::parse(data));
    let bundle = match parsed {
        Ok(bundle) => bundle,
        Err(error) => {
            is_told(&error);
            return false;
        }
    };
    let mut accepted = false;
    for question in QUESTIONS.iter() {
        let by_file = question.ask(&bundle, &Artifact::Bytes(&question.artifact));
        let by_digest = question.ask(&bundle, &Artifact::Digest(&question.digest));
        for answer in [&by_file, &by_digest] {
            match answer {
                Ok(answer) => question.was_signed(answer),
                Err(error) => is_told(error),
            }
        }
        if let Ok(by_digest) = &by_digest {
            assert_eq!(by_file.as_ref().ok(), Some(by_digest), "by digest alone");
        }
        if by_file.is_ok() {
            accepted = true;
            let other = Artifact::Bytes(b"some other file");
            assert!(
                question.ask(&bundle, &other).is_err(),
                "whatever it is over"
            );
            let other = Digest::of(b"some other file");
            let other = Artifact::Digest(&other);
            assert!(
                question.ask(&bundle, &other).is_err(),
                "whatever it is over"
            );
        }
    }
    accepted
}

fn is_told(error: &VerifyError) {
    is_one_line(&Refusal::new(Reason::MalformedSignature, error.to_string()));
}

impl Question {
    fn ask(&self, bundle: &SigstoreBundle, artifact: &Artifact<'_>) -> Result<Answer, VerifyError> {
        let accepted: Accepted<()> = match &self.wanted {
            Wanted::Identity(subject, issuer) => verify_bundle(bundle, artifact, &self.trust)?
                .accept(|signer| {
                    let holds = signer.subject.as_str() == *subject
                        && signer.issuer.as_deref() == Some(issuer);
                    holds.then_some(())
                })?,
            Wanted::Keys(keys) => {
                let log = LogEntry::Demanded(&self.trust);
                verify_with_keys(bundle, artifact, keys, log)?.map(|_| ())
            }
        };
        let claimed = match &self.wanted {
            Wanted::Identity(..) => format!("{:?}", bundle.claimed()),
            // What a hint says is read by nobody.
            Wanted::Keys(_) => String::new(),
        };
        Ok(Answer {
            content: accepted.content().clone(),
            signature: bundle.signature()?.to_vec(),
            claimed,
            times: accepted.signed_at().iter().copied().collect(),
        })
    }

    fn was_signed(&self, answer: &Answer) {
        let known = self.known.iter().any(|known| {
            known.content == answer.content
                && known.signature == answer.signature
                && known.claimed == answer.claimed
                && answer.times.is_subset(&known.times)
        });
        assert!(known, "nobody has signed {answer:?}");
    }

    /// Takes what a bundle says for true, if it is an answer.
    fn learn(&mut self, bundle: &[u8]) {
        let Ok(bundle) = SigstoreBundle::parse(bundle) else {
            return;
        };
        if let Ok(answer) = self.ask(&bundle, &Artifact::Bytes(&self.artifact)) {
            self.known.push(answer);
        }
    }
}

static QUESTIONS: LazyLock<Vec<Question>> = LazyLock::new(|| {
    let mut questions = Vec::new();
    let own = Wanted::Identity(SUBJECT, ISSUER);
    questions.push(question(IMAGE.to_vec(), ROOT, own));
    let key = include_str!("../../recorded/logged.pem");
    questions.push(question(IMAGE.to_vec(), ROOT, keys(key)));
    for bundle in own_bundles() {
        for question in &mut questions {
            question.learn(&bundle);
        }
    }
    for question in &questions {
        assert!(!question.known.is_empty(), "a recorded bundle is refused");
    }
    let mut sound = Vec::new();
    for case in cases() {
        if case.is_refused {
            if SOUND.contains(&case.name.as_str()) {
                sound.push(case);
            }
            continue;
        }
        let wanted = case
            .key
            .as_deref()
            .map_or(Wanted::Identity(BEACON, BEACON_ISSUER), keys);
        let new = question(case.artifact.clone(), case.root(), wanted);
        let same = questions.iter_mut().find(|question| {
            question.artifact == new.artifact
                && question.wanted == new.wanted
                && question.root == new.root
        });
        let question = if let Some(same) = same {
            same
        } else {
            questions.push(new);
            questions.last_mut().expect("one")
        };
        let before = question.known.len();
        question.learn(&case.bundle);
        assert!(question.known.len() > before, "{} is refused", case.name);
        // Several roots are of one instance.
        sound.push(case);
    }
    for case in sound {
        let (root, digest) = (
            Digest::of(case.root().as_bytes()),
            Digest::of(&case.artifact),
        );
        for question in &mut questions {
            if question.root != root || question.digest != digest {
                question.learn(&case.bundle);
            }
        }
    }
    questions
});

fn question(artifact: Vec<u8>, root: &str, wanted: Wanted) -> Question {
    Question {
        digest: Digest::of(&artifact),
        root: Digest::of(root.as_bytes()),
        trust: TrustMaterial::parse(root).expect("a trust root"),
        artifact,
        wanted,
        known: Vec::new(),
    }
}

fn keys(pem: &str) -> Wanted {
    Wanted::Keys(PublicKey::parse_pem(pem).expect("a key"))
}

/// The recorded bundles, without what is around them.
fn own_bundles() -> Vec<Vec<u8>> {
    let recorded = seeds::recorded().into_iter();
    let bundles = recorded.filter(|(name, _)| name.contains("-bundle"));
    let first_line = |data: Vec<u8>| data.split(|&byte| byte == b'\n').next().map(<[u8]>::to_vec);
    bundles.filter_map(|(_, data)| first_line(data)).collect()
}

/// Recorded bundles and those of the conformance vectors, accepted and refused ones.
pub(crate) fn seed_inputs() -> Vec<Vec<u8>> {
    let own = own_bundles().into_iter().map(|bundle| {
        let accepted = QUESTIONS.iter().any(|question| {
            let bundle = SigstoreBundle::parse(&bundle);
            bundle.is_ok_and(|bundle| {
                let artifact = Artifact::Bytes(&question.artifact);
                question.ask(&bundle, &artifact).is_ok()
            })
        });
        (accepted, bundle)
    });
    let cases = cases().into_iter();
    let all = own.chain(cases.map(|case| (!case.is_refused, case.bundle)));
    // Nearly every change is refused: of those that hold more are drawn.
    all.flat_map(|(accepted, bundle)| std::iter::repeat_n(bundle, if accepted { 4 } else { 1 }))
        .collect()
}

/// One folder of the public conformance vectors.
struct Case {
    name: String,
    is_refused: bool,
    bundle: Vec<u8>,
    artifact: Vec<u8>,
    key: Option<String>,
    root: Option<String>,
}

impl Case {
    fn root(&self) -> &str {
        let own = self.root.as_deref();
        own.unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }
}

/// The cases of sigstore's conformance suite that are in the folder named by `NODESEAL_CONFORMANCE`;
/// none where there is no such folder. The tests of the verifier say how to get them.
fn cases() -> Vec<Case> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let folder = std::env::var_os("NODESEAL_CONFORMANCE").map_or(default, PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        let how = format!("no conformance vectors in {}", folder.display());
        assert!(std::env::var_os("CI").is_none(), "{how}");
        eprintln!("{how}: only recorded bundles are changed");
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.join("bundle.sigstore.json").is_file())
        .collect();
    folders.sort();
    let common = fs::read(folder.join("a.txt")).expect("the common artifact");
    let case = |folder: PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Case {
            is_refused: name.ends_with("_fail"),
            name: name.into_owned(),
            bundle: fs::read(folder.join("bundle.sigstore.json")).expect("a bundle"),
            artifact: fs::read(folder.join("artifact")).unwrap_or_else(|_| common.clone()),
            key: fs::read_to_string(folder.join("key.pub")).ok(),
            root: fs::read_to_string(folder.join("trusted_root.json")).ok(),
        }
    };
    let all = folders.into_iter().map(case);
    // Some are by others than the beacon.
    all.filter(|case| case.key.is_some() || !folder.join(&case.name).join("identity").exists())
        .collect()
}
