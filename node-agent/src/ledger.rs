//! The last good policies, and which file each came from.

use std::collections::BTreeMap;

use policy::bundle::{Bundle, BundleError};
use policy::model::PolicyId;
use serde::{Deserialize, Serialize};

use crate::json;

/// The version of the ledger's own format; the bundle inside has one of its own.
const FORMAT: u32 = 1;

/// What is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Policies and settings, compiled and not flattened.
    pub bundle: Bundle,
    /// The file of each policy, relative to the policy folder.
    pub sources: BTreeMap<PolicyId, String>,
    /// The file of the `EnforcementConfig`, if there ever was a valid one.
    pub settings_source: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    format: u32,
    bundle: serde_json::Value,
    sources: BTreeMap<PolicyId, String>,
    settings_source: Option<String>,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Not the JSON that the agent writes.
    #[error("it is damaged, or was written by a newer agent: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer agent.
    #[error("it has format {0}, and this agent reads format {FORMAT}: use the newer agent again")]
    Format(u32),
    /// The bundle inside.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl LedgerError {
    /// True when a newer agent wrote it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Format(_) | Self::Bundle(BundleError::Format(_)))
    }
}

impl Ledger {
    /// Reads a ledger; whatever this agent does not know is refused.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LedgerError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let Versioned { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(LedgerError::Format(format));
        }
        let wire: Wire = serde_json::from_slice(bytes)?;
        Ok(Self {
            bundle: Bundle::from_json(&serde_json::to_vec(&wire.bundle)?)?,
            sources: wire.sources,
            settings_source: wire.settings_source,
        })
    }

    /// The same bytes for the same content.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let wire = Wire {
            format: FORMAT,
            bundle: serde_json::from_slice(&self.bundle.to_json())?,
            sources: self.sources.clone(),
            settings_source: self.settings_source.clone(),
        };
        json::lines(&wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_ledger_reads_back_as_it_was_written() {
        let ledger = testing::ledger(&[("a", "a.yaml", "a.example")]);
        assert_eq!(
            Ledger::from_json(&ledger.to_json().unwrap()).unwrap(),
            ledger
        );
    }

    #[test]
    fn damaged_and_newer_ledgers_are_told_apart() {
        let json = String::from_utf8(Ledger::default().to_json().unwrap()).unwrap();
        let newer = json.replacen("\"format\": 1", "\"format\": 2", 1);
        assert!(Ledger::from_json(newer.as_bytes()).unwrap_err().is_newer());
        assert!(
            !Ledger::from_json(&json.as_bytes()[..20])
                .unwrap_err()
                .is_newer()
        );
    }
}
