//! Versions of container runtimes.

use std::fmt;
use std::str::FromStr;

/// `major.minor.patch` of a runtime. What follows the numbers (`-rc.1`, `+k3s1`, `~ds1`) is
/// dropped: a pre-release of 2.1 behaves as 2.1 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Patch number; 0 where it was left out.
    pub patch: u32,
}

impl Version {
    /// A version from its numbers.
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

/// A text that does not begin with `major.minor`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version: write it as 2.2.1, v2.2.1 or 2.2")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let end = numbers
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(numbers.len());
        let mut parts = numbers[..end].split('.');
        let mut next = || {
            parts
                .next()
                .map(|part| part.parse::<u32>().map_err(|_| error()))
        };
        let major = next().ok_or_else(error)??;
        let minor = next().ok_or_else(error)??;
        let patch = next().transpose()?.unwrap_or(0);
        Ok(Self {
            major,
            minor,
            patch,
        })
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
    fn versions_are_read_as_runtimes_print_them() {
        for (text, version) in [
            ("2.2.1", Version::new(2, 2, 1)),
            ("v2.1.0-rc.1", Version::new(2, 1, 0)),
            ("2.2", Version::new(2, 2, 0)),
            ("1.7.28-k3s1", Version::new(1, 7, 28)),
            ("1.6.20~ds1", Version::new(1, 6, 20)),
            ("v2.0.4+unknown", Version::new(2, 0, 4)),
            ("v2.3-beta", Version::new(2, 3, 0)),
            ("2.1.5-k3s1.33", Version::new(2, 1, 5)),
        ] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        for bad in [
            "",
            "2",
            "v",
            "latest",
            "2.x",
            ".2",
            "-2.1.0",
            "99999999999.1",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert!(Version::new(2, 10, 0) > Version::new(2, 9, 9));
        assert_eq!(Version::new(2, 10, 3).line(), (2, 10));
        assert_eq!(Version::new(2, 10, 3).to_string(), "2.10.3");
    }
}
