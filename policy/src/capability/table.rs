//! The table of what runtimes can express, as it stands in the docs.

use std::fmt::Write as _;

use super::{FIRST_ENFORCING, Runtime};
use crate::crio::features::{Feature, NEWEST, OLDEST};
use crate::version::Version;

/// The newest containerd that the tests of the product pull with.
pub const NEWEST_CONTAINERD: Version = Version::new(2, 2, 1);

/// Where the versions end that anything is known about: what holds for one beyond, in a sentence.
#[must_use]
pub fn out_of_range(runtime: Runtime) -> Option<String> {
    let newer = |version: Version, newest: Version| {
        (version.major, version.minor) > (newest.major, newest.minor)
    };
    let too_new = |newest: Version| {
        format!(
            "{runtime} is newer than {newest}, the newest that nodeseal was tried with, and is taken for that one"
        )
    };
    match runtime {
        Runtime::Containerd(None) => None,
        Runtime::Containerd(Some(version)) if version < FIRST_ENFORCING => Some(format!(
            "{runtime} calls no verifier when Kubernetes pulls an image: no policy, and no default action, holds there before containerd {FIRST_ENFORCING}"
        )),
        Runtime::Containerd(Some(version)) => {
            newer(version, NEWEST_CONTAINERD).then(|| too_new(NEWEST_CONTAINERD))
        }
        Runtime::Crio(version) if version < OLDEST => Some(format!(
            "{runtime} is older than {OLDEST}, the first with sigstore signatures: no policy can be expressed there"
        )),
        Runtime::Crio(version) => newer(version, NEWEST).then(|| too_new(NEWEST)),
    }
}

/// What follows from the table of [`Feature`]s, as Markdown. The docs hold it between two markers,
/// and a test compares them.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    text.push_str("| what a policy says | CRI-O | containerd |\n|---|---|---|\n");
    for Row {
        what,
        crio,
        containerd,
    } in ROWS
    {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {what} | {} | {} |",
            crio.words(),
            containerd.words()
        );
    }
    text.push_str("\nSince which version CRI-O knows what:\n\n| CRI-O | what |\n|---|---|\n");
    for feature in Feature::ALL {
        let _ = writeln!(text, "| {} | {} |", feature.since(), feature.words());
    }
    text
}

/// One line of the table. Tests hold it against what [`super::of`] says of sample policies.
struct Row {
    what: &'static str,
    crio: Support,
    containerd: Support,
}

#[derive(Clone, Copy)]
enum Support {
    /// As soon as all of these features are there.
    Features(&'static [Feature]),
    /// From this version on.
    From(Version),
    Never(&'static str),
}

impl Support {
    /// The first version that has it.
    fn since(self) -> Option<Version> {
        match self {
            Features(features) => features.iter().map(|feature| feature.since()).max(),
            From(version) => Some(version),
            Never(_) => None,
        }
    }

    fn words(self) -> String {
        match (self, self.since()) {
            (Never(why), _) => format!("no: {why}"),
            (_, Some(version)) => format!("{version}"),
            (_, None) => "always".to_owned(),
        }
    }
}

use Feature::{CheckAtCreation, FulcioAndLog, KeyLists, Keys, Pki};
use Support::{Features, From, Never};

const fn row(what: &'static str, crio: Support) -> Row {
    Row {
        what,
        crio,
        containerd: From(FIRST_ENFORCING),
    }
}

const ROWS: &[Row] = &[
    row("`key` with one key", Features(&[Keys])),
    row("`key` with several keys (rotation)", Features(&[KeyLists])),
    row(
        "`threshold` equal to the number of authorities, of any kind",
        Features(&[Keys]),
    ),
    row(
        "a smaller `threshold` of `key` authorities, up to 64 combinations",
        Features(&[KeyLists]),
    ),
    row(
        "a smaller `threshold` of `key` authorities, more combinations",
        Never("its files would grow without bounds"),
    ),
    row(
        "a smaller `threshold` of `key` authorities whose `transparencyLog` differs",
        Never("OR exists inside one rule only"),
    ),
    row(
        "a smaller `threshold` with `keyless` or `certificate` authorities",
        Never("OR exists between keys only"),
    ),
    row(
        "`transparencyLog`, trust root with one ECDSA P-256 log key",
        Features(&[Keys, FulcioAndLog]),
    ),
    row(
        "`transparencyLog`, trust root with several ECDSA P-256 log keys",
        Features(&[FulcioAndLog, KeyLists]),
    ),
    row(
        "`keyless`: one identity, exact `issuer`, an e-mail address as exact `subject`; trust root with one ECDSA P-256 log key",
        Features(&[FulcioAndLog]),
    ),
    row(
        "the same, trust root with several ECDSA P-256 log keys",
        Features(&[FulcioAndLog, KeyLists]),
    ),
    row(
        "`keyless`: several identities, URIs, regular expressions, `claims`",
        Never("it compares one issuer and one e-mail address"),
    ),
    row(
        "`transparencyLog` or `keyless`, trust root without any ECDSA P-256 log key",
        Never("it knows logs with P-256 keys only"),
    ),
    row("`certificate`", Features(&[Pki])),
    row(
        "`certificate` with `transparencyLog`",
        Never("it looks at no log entry there"),
    ),
    row("`signedIdentity` of every type", Features(&[Keys])),
    row("`mode: Audit`", Never("its files know no audit")),
    Row {
        what: "an ImageSignaturePolicy (one namespace)",
        crio: Features(&[CheckAtCreation]),
        containerd: Never("a verifier is not told the namespace"),
    },
];

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
