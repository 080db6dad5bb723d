//! How single fields of policy.json are read.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Rules between the fields of one object.
pub(crate) trait Check {
    /// What is wrong, if anything.
    fn check(&self) -> Result<(), &'static str>;
}

/// Reads a value and checks it.
pub(crate) fn checked<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Check,
{
    let value = T::deserialize(deserializer)?;
    value.check().map_err(D::Error::custom)?;
    Ok(value)
}

/// As [`checked`], for a field that may be absent. It may not be `null`.
pub(crate) fn checked_if_present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Check,
{
    checked(deserializer).map(Some)
}

/// A field that may be absent, but not `null`: CRI-O takes `null` for a value in some places.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// How many of these are set.
pub(crate) fn count(set: &[bool]) -> usize {
    set.iter().filter(|&&set| set).count()
}

/// An empty text counts as absent in CRI-O, which then misses a field that is there.
pub(crate) fn any_empty(texts: &[&Option<String>]) -> bool {
    texts
        .iter()
        .any(|text| text.as_ref().is_some_and(String::is_empty))
}

/// Bytes in base64 (standard alphabet, padded), checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Base64(String);

impl Base64 {
    /// Encodes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use base64::Engine;
        Self(base64::engine::general_purpose::STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD
            .decode(&text)
            .map_err(|_| D::Error::custom("not base64"))?;
        Ok(Self(text))
    }
}
