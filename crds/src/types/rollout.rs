//! How changes reach the nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NodeSelector, Share};

/// How changes reach the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many nodes change at once: a number, or a percentage such as `10%` (default), rounded
    /// up.
    #[serde(default = "default_max_unavailable")]
    pub max_unavailable: Share,
    /// Nodes that change first; the others wait until all of these are ready. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// How many nodes may fail before the rollout halts: a number (default 1), or a percentage.
    #[serde(default = "default_max_failures")]
    pub max_failures: Share,
    /// After how many seconds a node that has not got ready counts as failed: 30 to 86400, default
    /// 600.
    #[serde(default = "default_progress_deadline")]
    #[schemars(range(min = 30, max = 86400))]
    pub progress_deadline_seconds: i32,
    /// Stops every rollout where it is. Default false.
    #[serde(default)]
    pub paused: bool,
}

/// The nodes that change first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// These nodes, by their labels.
    pub node_selector: NodeSelector,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_unavailable: default_max_unavailable(),
            canary: None,
            max_failures: default_max_failures(),
            progress_deadline_seconds: default_progress_deadline(),
            paused: false,
        }
    }
}

fn default_max_unavailable() -> Share {
    Share::Percent("10%".to_owned())
}

fn default_max_failures() -> Share {
    Share::Count(1)
}

fn default_progress_deadline() -> i32 {
    600
}
