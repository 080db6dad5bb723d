//! The version of a containerd, as CRI's `Version` and `containerd --version` give it.

use std::fmt;
use std::str::FromStr;

/// Major, minor and patch; what vendors append (`-k3s1`, `~ds1`, `+unknown`, `-rc.1`) is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 of `v2.2.1`.
    pub major: u32,
    /// 2 of `v2.2.1`.
    pub minor: u32,
    /// 1 of `v2.2.1`; 0 where there is none.
    pub patch: u32,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of containerd; expected something like v2.2.1")]
pub struct VersionError(String);

impl Version {
    /// From its numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Major and minor, by which most rules change.
    #[must_use]
    pub const fn line(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || VersionError(text.chars().take(64).collect());
        let text = text.trim();
        let bare = text.strip_prefix('v').unwrap_or(text);
        let end = bare
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(bare.len());
        let mut numbers = bare[..end].split('.');
        let mut next = || numbers.next().map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (next(), next()) else {
            return Err(wrong());
        };
        // `v2.3-beta` has no third number.
        let patch = next().and_then(Result::ok).unwrap_or(0);
        Ok(Self::new(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_read() {
        for (text, version) in [
            ("v2.2.1", Version::new(2, 2, 1)),
            ("1.7.29~ds1", Version::new(1, 7, 29)),
            ("2.1.5-k3s1.33", Version::new(2, 1, 5)),
            ("v2.0.4+unknown", Version::new(2, 0, 4)),
            ("v2.4.0-beta.1", Version::new(2, 4, 0)),
            ("2.3", Version::new(2, 3, 0)),
        ] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        for text in ["", "v", "two", "2", "2.x", "-2.1.0"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert!(Version::new(2, 1, 0) > Version::new(2, 0, 14));
        assert_eq!(Version::new(2, 2, 1).to_string(), "2.2.1");
    }
}
