//! Content digests.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A `sha256:` digest with 64 lower-case hexadecimal digits: the only algorithm that the signature
/// formats of this product know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Digest(String);

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// An algorithm other than SHA-256.
    #[error("digest algorithm `{0}` is not supported: only `sha256` is")]
    UnsupportedAlgorithm(String),
    /// Not `algorithm:hex` at all, or not 64 lower-case hexadecimal digits.
    #[error("not a digest: `sha256:` and 64 lower-case hexadecimal digits are expected")]
    Malformed,
}

impl Digest {
    const PREFIX: &str = "sha256:";

    /// Parses `sha256:<64 hex>`.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Malformed)?;
        if matches!(algorithm, "sha384" | "sha512") {
            return Err(DigestError::UnsupportedAlgorithm(algorithm.to_owned()));
        }
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if algorithm == "sha256" && hex.len() == 64 && hex.bytes().all(is_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DigestError::Malformed)
        }
    }

    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        Self(format!("{}{}", Self::PREFIX, hex::encode(sum)))
    }

    /// The whole text, `sha256:<hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[Self::PREFIX.len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        assert_eq!(
            Digest::of(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn only_canonical_sha256_is_a_digest() {
        let good = format!("sha256:{}", "a".repeat(64));
        assert_eq!(Digest::parse(&good).unwrap().hex(), "a".repeat(64));
        for bad in [
            "",
            "sha256",
            "sha256:",
            "md5:00",
            &good[..70],
            &good.to_uppercase(),
        ] {
            assert_eq!(Digest::parse(bad), Err(DigestError::Malformed), "{bad}");
        }
        let long = format!("sha512:{}", "a".repeat(128));
        assert!(matches!(
            Digest::parse(&long),
            Err(DigestError::UnsupportedAlgorithm(_))
        ));
    }
}
