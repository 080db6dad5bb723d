//! A TUF repository, as a `TrustRoot` names it.

use jiff::SignedDuration;
use policy::problem::Reason;
use serde::Deserialize;

use super::{FieldProblem, Report};
use crate::types::TufSource;

/// The least and the most time between two looks.
const INTERVAL: [SignedDuration; 2] = [
    SignedDuration::from_mins(10),
    SignedDuration::from_hours(168),
];

/// A TUF repository with a target that holds a `trusted_root.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuf {
    /// The `https` address of the folder with its metadata, without query and user; nothing is the
    /// public-good instance.
    pub mirror: Option<String>,
    /// The root.json to begin with; nothing is that of the public-good instance.
    pub root: Option<String>,
    /// The target.
    pub target: String,
    /// How often to look, from 10 minutes to a week.
    pub interval: SignedDuration,
}

impl Tuf {
    /// Whether it is the public-good instance of Sigstore, asked where it lives.
    #[must_use]
    pub fn is_public_good(&self) -> bool {
        let Self {
            mirror,
            root,
            target,
            interval: _,
        } = self;
        mirror.is_none() && root.is_none() && *target == TufSource::default().target
    }
}

/// Reads `spec.tuf`. What the rules of the schema refuse is refused here, too.
pub fn tuf(source: &TufSource) -> Result<Tuf, Vec<FieldProblem>> {
    let mut report = Report::default();
    if let Some(mirror) = &source.mirror
        && !is_folder(mirror)
    {
        let message = "the mirror is the https address of a folder: write https://host/path, without user, query and fragment";
        report.add("spec.tuf.mirror", Reason::Invalid, message);
    }
    if let Some(root) = &source.root_json
        && !is_root(root)
    {
        let message = "this is no root.json of TUF: copy the whole file that the repository's owner gives out, such as 1.root.json";
        report.add("spec.tuf.rootJSON", Reason::Invalid, message);
    }
    if source.target.is_empty() || source.target.contains('/') || source.target.starts_with('.') {
        let message = "the target is the name of a file in the repository, such as trusted_root.json: correct it";
        report.add("spec.tuf.target", Reason::Invalid, message);
    }
    let interval = source.refresh_interval.parse::<SignedDuration>().ok();
    let [least, most] = INTERVAL;
    let interval = interval.filter(|interval| (least..=most).contains(interval));
    if interval.is_none() {
        let message = "the interval is 10m to 168h: change it";
        report.add("spec.tuf.refreshInterval", Reason::Invalid, message);
    }
    report.finish(Tuf {
        mirror: source.mirror.clone(),
        root: source.root_json.clone(),
        target: source.target.clone(),
        interval: interval.unwrap_or(most),
    })
}

fn is_folder(mirror: &str) -> bool {
    let Some(rest) = mirror.strip_prefix("https://") else {
        return false;
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || "@?#\\".contains(c);
    !rest.starts_with(['/', ':']) && !rest.is_empty() && !rest.contains(strange)
}

fn is_root(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Envelope {
        signed: Signed,
    }
    #[derive(Deserialize)]
    struct Signed {
        #[serde(rename = "_type")]
        kind: String,
    }
    serde_json::from_str::<Envelope>(text).is_ok_and(|envelope| envelope.signed.kind == "root")
}
