//! `nodeseal verify-bundle`.

mod advice;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use image_verifier::reason::bounded;
use image_verifier::sigstore::file::{Wanted, verify_file};
use image_verifier::sigstore::{Accepted, Artifact, Content, VerifyError};
use jiff::Timestamp;
use policy::digest::Digest;
use serde::{Deserialize, Serialize};
use sigstore_trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;

use crate::output::{self, Answer, Format, Paint, Style};

/// The most bytes of an artifact that is read whole. Of a larger one the digest is enough.
const MAX_ARTIFACT: u64 = 512 * 1024 * 1024;
/// The most bytes of a bundle and of a trust root.
const MAX_DOCUMENT: u64 = 16 * 1024 * 1024;
/// The most bytes of a file with keys.
const MAX_KEY: u64 = 1024 * 1024;
/// The most bytes of a message, and of a type in it.
const MAX_MESSAGE: usize = 1024;
const MAX_TYPE: usize = 200;

/// Verify a sigstore bundle over a file or a digest.
///
/// Needs no network. The certificate's owner has to be exactly the one that is named. Without
/// --trusted-root, the public-good instance is trusted as it was when this program was built. A
/// log entry is demanded of keys, and of certificates where the trust root has transparency logs.
#[derive(clap::Args)]
#[command(
    override_usage = "nodeseal verify-bundle --bundle <FILE> (--certificate-identity <IDENTITY> --certificate-oidc-issuer <URL> | --key <FILE>) [OPTIONS] <FILE_OR_DIGEST>",
    after_help = "Exit codes: 0 verified, 1 refused, 2 wrong usage, 3 a file could not be read.",
    group = clap::ArgGroup::new("signer").required(true).args(["certificate_identity", "key"])
)]
pub(crate) struct Args {
    /// The bundle: JSON, version 0.1 to 0.3.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Who has to have signed: the subject alternative name in the certificate.
    #[arg(
        long,
        value_name = "IDENTITY",
        requires = "certificate_oidc_issuer",
        conflicts_with = "key"
    )]
    certificate_identity: Option<String>,
    /// Who has to have vouched for the signer: the OIDC issuer in the certificate.
    #[arg(
        long,
        value_name = "URL",
        requires = "certificate_identity",
        conflicts_with = "key"
    )]
    certificate_oidc_issuer: Option<String>,
    /// The key that has to have signed: a file with one or more public keys in PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Trust sigstore's staging instance, as it was when this program was built. A --trusted-root
    /// wins over it.
    #[arg(long)]
    staging: bool,
    /// The trust root: a sigstore `trusted_root.json`.
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// What was signed: a file, or `sha256:` with 64 hexadecimal digits. Where a file has such a
    /// name, it is the file.
    #[arg(value_name = "FILE_OR_DIGEST")]
    artifact: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    verified: bool,
    /// What it was to be about.
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signed_at: Vec<Timestamp>,
}

/// The file, or its digest.
enum Subject {
    File(Vec<u8>),
    Digest(Digest),
}

/// A file cannot be read.
#[derive(Debug)]
struct Unreadable(String);

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let (subject, result) = match verify(args) {
        Ok(verified) => verified,
        Err(Unreadable(message)) => {
            output::error_line(message);
            return Answer::Unknown;
        }
    };
    let digest = match subject {
        Subject::File(bytes) => Digest::of(&bytes),
        Subject::Digest(digest) => digest,
    };
    let report = match &result {
        Ok(accepted) => Report::verified(digest, accepted),
        Err(error) => Report::refused(digest, error),
    };
    match format {
        Format::Json => output::print_json(&report),
        Format::Text => report.print(),
    }
    match result {
        Ok(_) => Answer::Yes,
        Err(_) => Answer::No,
    }
}

type Verified = Result<Accepted<()>, VerifyError>;

fn verify(args: &Args) -> Result<(Subject, Verified), Unreadable> {
    let bundle = read(&args.bundle, MAX_DOCUMENT)?;
    let root = match (&args.trusted_root, args.staging) {
        (Some(path), _) => Some(read_text(path, MAX_DOCUMENT)?),
        (None, true) => Some(SIGSTORE_STAGING_TRUSTED_ROOT.to_owned()),
        (None, false) => None,
    };
    let key = match &args.key {
        Some(path) => Some(read_text(path, MAX_KEY)?),
        None => None,
    };
    let subject = Subject::read(&args.artifact)?;
    let wanted = match &key {
        Some(pem) => Wanted::Key(pem),
        // The argument parser has seen to it that there is either.
        None => Wanted::Identity {
            subject: args.certificate_identity.as_deref().unwrap_or_default(),
            issuer: args.certificate_oidc_issuer.as_deref().unwrap_or_default(),
        },
    };
    let artifact = match &subject {
        Subject::File(bytes) => Artifact::Bytes(bytes),
        Subject::Digest(digest) => Artifact::Digest(digest),
    };
    let verified = verify_file(&bundle, &artifact, wanted, root.as_deref());
    Ok((subject, verified))
}

impl Subject {
    /// As the suite's protocol says: a digest is what looks like one and is no file.
    fn read(artifact: &Path) -> Result<Self, Unreadable> {
        let text = artifact.to_str().unwrap_or_default();
        if let (Ok(digest), Ok(false)) = (Digest::parse(text), artifact.try_exists()) {
            return Ok(Self::Digest(digest));
        }
        read(artifact, MAX_ARTIFACT).map(Self::File).map_err(|error| {
            let Unreadable(message) = error;
            Unreadable(if text.starts_with("sha256:") {
                format!("{message}; nor is it a digest, which is `sha256:` with 64 lower-case hexadecimal digits")
            } else {
                message
            })
        })
    }
}

/// Reads at most `limit` bytes. Unlike on a node, a pipe is as good as a file.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let failed = |error: io::Error| Unreadable(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        let path = path.display();
        let advice = if limit == MAX_ARTIFACT {
            ": name its digest instead, as sha256sum prints it, with `sha256:` in front"
        } else {
            ""
        };
        return Err(Unreadable(format!(
            "{path}: more than {limit} bytes{advice}"
        )));
    }
    Ok(bytes)
}

fn read_text(path: &Path, limit: u64) -> Result<String, Unreadable> {
    let bytes = read(path, limit)?;
    String::from_utf8(bytes).map_err(|_| Unreadable(format!("{}: not UTF-8 text", path.display())))
}

impl Report {
    fn verified(digest: Digest, accepted: &Accepted<()>) -> Self {
        let (content, predicate_type) = match accepted.content() {
            Content::Message => ("message", None),
            Content::Dsse { payload, .. } => ("statement", predicate_type(payload)),
        };
        Self {
            verified: true,
            digest,
            reason: None,
            message: None,
            advice: None,
            content: Some(content),
            predicate_type,
            signed_at: accepted.signed_at().to_vec(),
        }
    }

    fn refused(digest: Digest, error: &VerifyError) -> Self {
        let (reason, advice) = advice::of(error);
        Self {
            verified: false,
            digest,
            reason: Some(reason),
            message: Some(bounded(&error.to_string(), MAX_MESSAGE)),
            advice: Some(advice),
            content: None,
            predicate_type: None,
            signed_at: Vec::new(),
        }
    }

    fn print(&self) {
        let paint = Paint::stdout();
        let digest = &self.digest;
        let Some(reason) = self.reason else {
            let word = paint.apply(Style::Green, "verified");
            output::print_line(format_args!("{word} {digest}"));
            if let Some(kind) = &self.predicate_type {
                output::print_line(format_args!("  signed     a statement about it: {kind}"));
            }
            for time in &self.signed_at {
                output::print_line(format_args!("  signed at  {time}"));
            }
            return;
        };
        let word = paint.apply(Style::Red, "refused");
        output::print_line(format_args!("{word} {digest}"));
        let (message, advice) = (self.message.as_deref(), self.advice);
        let message = message.unwrap_or_default();
        output::print_line(format_args!("  {reason}: {message}"));
        output::print_line(format_args!("  {}", advice.unwrap_or_default()));
    }
}

/// What kind of statement was signed; it is verified, and so may be believed and shown.
fn predicate_type(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Statement {
        #[serde(rename = "predicateType")]
        predicate_type: String,
    }
    let statement: Statement = serde_json::from_slice(payload).ok()?;
    Some(bounded(&statement.predicate_type, MAX_TYPE))
}
