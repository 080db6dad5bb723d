//! What policies are called.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which policy object this is. Written `name` for the cluster kind, `namespace/name` for the
/// namespaced one; neither part may hold a slash, so the two never meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyId {
    /// A `ClusterImageSignaturePolicy`.
    Cluster {
        /// The object's name.
        name: String,
    },
    /// An `ImageSignaturePolicy`.
    Namespaced {
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
}

impl PolicyId {
    /// The namespace, for a namespaced policy.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster { .. } => None,
            Self::Namespaced { namespace, .. } => Some(namespace),
        }
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cluster { name } | Self::Namespaced { name, .. } => name,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| {
            let good = !part.is_empty() && part.len() <= 253 && !part.contains('/');
            good.then(|| part.to_owned())
        };
        match text.split_once('/') {
            None => Some(Self::Cluster { name: part(text)? }),
            Some((namespace, name)) => Some(Self::Namespaced {
                namespace: part(namespace)?,
                name: part(name)?,
            }),
        }
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { name } => f.write_str(name),
            Self::Namespaced { namespace, name } => write!(f, "{namespace}/{name}"),
        }
    }
}

impl Serialize for PolicyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a policy is named `name` or `namespace/name`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_ids_tell_the_two_kinds_apart() {
        let ids = ["\"a\"", "\"ns/a\""];
        let parsed = ids.map(|id| serde_json::from_str::<PolicyId>(id).unwrap());
        assert_eq!(parsed[0].namespace(), None);
        assert_eq!((parsed[1].namespace(), parsed[1].name()), (Some("ns"), "a"));
        for bad in ["\"\"", "\"/a\"", "\"ns/\"", "\"a/b/c\""] {
            assert!(serde_json::from_str::<PolicyId>(bad).is_err(), "{bad}");
        }
    }
}
