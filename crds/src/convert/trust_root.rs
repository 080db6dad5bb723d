//! From a `TrustRoot` of the API to that of the model.

use std::borrow::Cow;

use policy::certificate::CertificateError;
use policy::key::KeyError;
use policy::problem::Reason;
use policy::trust::{Parsed, TrustError, TrustProblem, TrustRoot};

use super::text::{PRIVATE_KEY, PRIVATE_KEY_FOR_CERTIFICATE, Text, pem_problem, referenced};
use super::{FieldProblem, Holder, KeyReference, Keys, Report, tuf};
use crate::types::{TrustRootKeys, TrustRootSpec, TrustedRootSource, TufSource};
use crate::validate::may_be_shown;

/// The most bytes of a message of the JSON reader.
const MAX_MESSAGE: usize = 300;

/// Makes the trust root of a `TrustRoot`. What it holds and this version does not verify with is
/// in [`Parsed::filtered`], which has to be shown.
///
/// Everything that is wrong is said at once, with reason `Invalid` (also for a damaged
/// trusted_root.json), `InvalidCertificate`, `InvalidKey`, `NotFound` or `NotPermitted` for a
/// ConfigMap, and `TrustRootNotReady` for a TUF repository of which no content is known.
pub fn trust_root(spec: &TrustRootSpec, keys: &impl Keys) -> Result<Parsed, Vec<FieldProblem>> {
    let mut report = Report::default();
    let made = match (&spec.tuf, &spec.trusted_root, &spec.keys) {
        (Some(source), None, None) => over_tuf(&mut report, keys, source),
        (None, Some(source), None) => trusted_root(&mut report, keys, source),
        (None, None, Some(source)) => pem(&mut report, keys, source),
        _ => {
            let message = "a TrustRoot has exactly one of tuf, trustedRoot and keys: add one, or remove the others";
            report.add("spec", Reason::Invalid, message);
            None
        }
    };
    made.ok_or(report.0)
}

fn over_tuf(report: &mut Report, keys: &impl Keys, source: &TufSource) -> Option<Parsed> {
    let repository = match tuf(source) {
        Ok(repository) => repository,
        Err(problems) => {
            report.0.extend(problems);
            return None;
        }
    };
    let json = keys.tuf(&repository).map_err(|why| {
        report.add("spec.tuf", Reason::TrustRootNotReady, why);
    });
    TrustRoot::from_trusted_root_json(&json.ok()?)
        .map_err(|error| report.add("spec.tuf", Reason::Invalid, error))
        .ok()
}

fn trusted_root(
    report: &mut Report,
    keys: &impl Keys,
    source: &TrustedRootSource,
) -> Option<Parsed> {
    let field = "spec.trustedRoot";
    let (field, text) = match (&source.data, &source.config_map_key_ref) {
        (Some(data), None) => {
            let field = format!("{field}.data");
            let text = Text::own(keys, data, &field);
            (field, text)
        }
        (None, Some(key_ref)) => {
            let field = format!("{field}.configMapKeyRef");
            let Some(namespace) = key_ref.namespace.clone() else {
                let message = "a TrustRoot has no namespace to look in: add namespace";
                report.add(field, Reason::Invalid, message);
                return None;
            };
            let reference = KeyReference {
                holder: Holder::ConfigMap,
                namespace,
                name: key_ref.name.clone(),
                key: key_ref.key.clone(),
            };
            let text = referenced(report, keys, &reference, &field, Reason::Invalid)?;
            (field, text)
        }
        _ => {
            let message =
                "a trustedRoot has exactly one of data and configMapKeyRef: add one, or remove one";
            report.add(field, Reason::Invalid, message);
            return None;
        }
    };
    TrustRoot::from_trusted_root_json(&text.value)
        .map_err(|error| {
            let (reason, message) = json_problem(&text, error);
            report.add(field, reason, message);
        })
        .ok()
}

fn json_problem(text: &Text, error: TrustError) -> (Reason, String) {
    let TrustError { path, problem } = error;
    // The reader's word for what it could not even name.
    let path = path.trim_end_matches('?').trim_end_matches('.').to_owned();
    let (reason, problem) = match problem {
        TrustProblem::PrivateKey => (Reason::InvalidKey, TrustProblem::PrivateKey),
        TrustProblem::MediaType(written) if !may_be_shown(&written) => {
            (Reason::Invalid, TrustProblem::MediaType("…".to_owned()))
        }
        TrustProblem::Json(message) => {
            let message = harmless(message);
            let advice = if message.starts_with("missing field `mediaType`") {
                "this is another file"
            } else {
                "copy the file again, whole"
            };
            let message = format!("{}: {advice}", placed(&message, text));
            (Reason::Invalid, TrustProblem::Json(message))
        }
        other => (Reason::Invalid, other),
    };
    let error = TrustError { path, problem };
    (reason, format!("{}{error}", text.holder))
}

/// The message of the JSON reader, which may quote a value: what may be key material is left out.
fn harmless(message: String) -> String {
    if message.split_whitespace().all(may_be_shown) && message.len() <= MAX_MESSAGE {
        return message;
    }
    match position(&message) {
        Some((_, line, column)) => {
            format!("a value of the wrong type at line {line} column {column}")
        }
        None => "a value of the wrong type".to_owned(),
    }
}

/// Replaces the place at the end of a message of the JSON reader, which counts inside the value,
/// by one that the user's editor counts.
fn placed<'a>(message: &'a str, text: &Text) -> Cow<'a, str> {
    let Some((what, line, column)) = position(message) else {
        return message.into();
    };
    let one_line = text.value.trim_end().lines().nth(1).is_none();
    match text.place.lines_before {
        _ if one_line => format!("{what} at character {column} of the value").into(),
        Some(before) => format!("{what} on line {}", before + line).into(),
        None => format!("{what} on line {line} of the value, column {column}").into(),
    }
}

/// `… at line 3 column 5`, as serde_json has it.
fn position(message: &str) -> Option<(&str, usize, usize)> {
    let (what, place) = message.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    Some((what, line.parse().ok()?, column.parse().ok()?))
}

/// A part of `keys`, read on its own.
struct Part<'a> {
    field: String,
    text: &'a str,
    certificates: bool,
    read: fn(&str) -> Result<TrustRoot, TrustError>,
}

fn parts(source: &TrustRootKeys) -> impl Iterator<Item = Part<'_>> {
    let TrustRootKeys {
        fulcio,
        rekor,
        ct_log,
        timestamp_authority,
    } = source;
    let certificates = |name: &str, text, read| Part {
        field: format!("spec.keys.{name}"),
        text,
        certificates: true,
        read,
    };
    let key = |name: &str, index: usize, text, read| Part {
        field: format!("spec.keys.{name}[{index}]"),
        text,
        certificates: false,
        read,
    };
    let fulcio = fulcio.iter().map(move |text| {
        certificates("fulcio", text.as_str(), |text| {
            TrustRoot::from_pem(Some(text), &[], &[], None)
        })
    });
    let authority = timestamp_authority.iter().map(move |text| {
        certificates("timestampAuthority", text.as_str(), |text| {
            TrustRoot::from_pem(None, &[], &[], Some(text))
        })
    });
    let rekor = rekor.iter().enumerate().map(move |(index, text)| {
        key("rekor", index, text.as_str(), |text| {
            TrustRoot::from_pem(None, &[text.to_owned()], &[], None)
        })
    });
    let ct_log = ct_log.iter().enumerate().map(move |(index, text)| {
        key("ctLog", index, text.as_str(), |text| {
            TrustRoot::from_pem(None, &[], &[text.to_owned()], None)
        })
    });
    fulcio.chain(rekor).chain(ct_log).chain(authority)
}

fn pem(report: &mut Report, keys: &impl Keys, source: &TrustRootKeys) -> Option<Parsed> {
    for part in parts(source) {
        let text = Text::own(keys, part.text, &part.field);
        let read = |text: &str| match (part.read)(text) {
            // A part alone is not much.
            Ok(_)
            | Err(TrustError {
                problem: TrustProblem::Nothing(_),
                ..
            }) => Ok(()),
            Err(TrustError { problem, .. }) => Err(problem),
        };
        if let Err((before, problem)) = text.parse_pem(read) {
            let private = is_private_key(&problem);
            let error = (before, described(&problem));
            let (reason, private_key) = if part.certificates {
                (Reason::InvalidCertificate, PRIVATE_KEY_FOR_CERTIFICATE)
            } else {
                (Reason::InvalidKey, PRIVATE_KEY)
            };
            let (reason, message) = pem_problem(&text, error, private, reason, private_key);
            report.add(part.field, reason, message);
        }
    }
    if !report.0.is_empty() {
        return None;
    }
    let TrustRootKeys {
        fulcio,
        rekor,
        ct_log,
        timestamp_authority,
    } = source;
    let whole = TrustRoot::from_pem(
        fulcio.as_deref(),
        rekor,
        ct_log,
        timestamp_authority.as_deref(),
    );
    match whole {
        Ok(root) => Some(Parsed {
            root,
            filtered: Vec::new(),
        }),
        // Each part is sound: this is about several of them.
        Err(TrustError { path, problem }) => {
            let (field, reason) = whole_field(&path);
            report.add(field, reason, problem);
            None
        }
    }
}

/// The words of the model, but for advice that is about authorities of policies.
fn described(problem: &TrustProblem) -> String {
    match problem {
        TrustProblem::PemKey(KeyError::Certificate { line }) => {
            format!("line {line} begins a certificate, not a public key: give the log's public key")
        }
        TrustProblem::PemCertificate(CertificateError::PublicKey { line }) => format!(
            "line {line} begins a public key, not a certificate: give the authority's certificate; keys of logs belong into rekor and ctLog"
        ),
        other => other.to_string(),
    }
}

fn is_private_key(problem: &TrustProblem) -> bool {
    matches!(
        problem,
        TrustProblem::PrivateKey
            | TrustProblem::PemKey(KeyError::PrivateKey { .. })
            | TrustProblem::PemCertificate(CertificateError::PrivateKey { .. })
    )
}

/// The field of the API for a path of the model.
fn whole_field(path: &str) -> (String, Reason) {
    let known = ["rekor", "ctLog", "fulcio", "timestampAuthority"];
    match known.iter().find(|name| path.starts_with(**name)) {
        Some(_) => (format!("spec.keys.{path}"), Reason::Invalid),
        None => ("spec.keys".to_owned(), Reason::Invalid),
    }
}
