//! What a node needs of the `EnforcementConfig`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::scope::Scope;

/// What happens to an image that no enforcing policy covers.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum DefaultAction {
    /// It is pulled.
    #[default]
    Allow,
    /// It is refused.
    Reject,
}

/// Whether nodes enforce at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// They do.
    #[default]
    Enabled,
    /// The emergency stop: nodes go back to what they had before nodeseal.
    Disabled,
}

/// Whether a runtime may be restarted when its configuration has to change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// It is never restarted; the status says what is pending.
    #[default]
    Never,
    /// It is restarted where that is needed.
    Allowed,
}

/// What a CRI-O node does while covered images on it lack their signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaleImages {
    /// It waits before it enforces.
    #[default]
    Hold,
    /// It enforces; such images fail at their next start.
    Proceed,
}

/// What may be done to containerd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerdSettings {
    /// Whether it may be restarted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: Restart,
    /// Whether settings that make it pull past its verifier are turned off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fix_local_pull: bool,
}

/// What may be done to CRI-O.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrioSettings {
    /// Whether it may be restarted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: Restart,
    /// What to do while covered images lack their signatures.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stale_images: StaleImages,
}

/// How often a node proves that it enforces, in seconds: 10 to 86,400, by default 600; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeInterval(u32);

impl ProbeInterval {
    /// Of that many seconds; what lies outside of 10 to 86,400 becomes the nearest of the two, and 0
    /// stays 0.
    #[must_use]
    pub fn of_seconds(seconds: u32) -> Self {
        Self(if seconds == 0 {
            0
        } else {
            seconds.clamp(10, 86_400)
        })
    }

    /// The seconds; nothing where there is no proof.
    #[must_use]
    pub fn seconds(self) -> Option<u32> {
        (self.0 > 0).then_some(self.0)
    }
}

impl Default for ProbeInterval {
    fn default() -> Self {
        Self(600)
    }
}

/// What a node needs of the `EnforcementConfig`. What has its default is not written, so that a new
/// field makes no new bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// For images that no enforcing policy covers.
    pub default_action: DefaultAction,
    /// Always accepted; no tags or digests.
    pub exempt_images: BTreeSet<Scope>,
    /// Whether the node enforces at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub enforcement: Enforcement,
    /// What may be done to containerd.
    #[serde(default, skip_serializing_if = "is_default")]
    pub containerd: ContainerdSettings,
    /// What may be done to CRI-O.
    #[serde(default, skip_serializing_if = "is_default")]
    pub crio: CrioSettings,
    /// How often the node proves that it enforces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub probe_interval: ProbeInterval,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_its_default_is_not_written() {
        let json = serde_json::to_string(&Settings::default()).unwrap();
        assert_eq!(json, r#"{"defaultAction":"Allow","exemptImages":[]}"#);
        let settings = Settings {
            enforcement: Enforcement::Disabled,
            containerd: ContainerdSettings {
                restart: Restart::Allowed,
                fix_local_pull: true,
            },
            crio: CrioSettings {
                restart: Restart::Allowed,
                stale_images: StaleImages::Proceed,
            },
            probe_interval: ProbeInterval::of_seconds(0),
            ..Settings::default()
        };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }

    #[test]
    fn an_interval_is_never_shorter_than_ten_seconds_but_for_never() {
        let of = |seconds| ProbeInterval::of_seconds(seconds).seconds();
        assert_eq!(
            [of(0), of(1), of(60), of(u32::MAX)],
            [None, Some(10), Some(60), Some(86_400)]
        );
    }
}
