//! Why a registries.conf is refused.

use std::fmt;

use super::parse::{MAX_BYTES, MAX_MIRRORS, MAX_REGISTRIES};

/// A part of the file; registries and mirrors are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The top level.
    Top,
    /// One `[[registry]]`.
    Registry(usize),
    /// One `[[registry.mirror]]` of it.
    Mirror(usize, usize),
    /// The table `[aliases]`.
    Aliases,
    /// The tables of version 1 of the format.
    Version1,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("the top level"),
            Self::Registry(number) => write!(f, "[[registry]] number {number}"),
            Self::Mirror(registry, number) => write!(
                f,
                "[[registry.mirror]] number {number} of [[registry]] number {registry}"
            ),
            Self::Aliases => f.write_str("[aliases]"),
            Self::Version1 => f.write_str("[registries]"),
        }
    }
}

/// Why a registries.conf cannot be used. All but the limits are refused by CRI-O as well.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesConfError {
    /// More bytes than are read.
    #[error("it has more than {MAX_BYTES} bytes, the most that is read: split it into drop-ins")]
    TooLarge,
    /// More registries than are read.
    #[error("it has more than {MAX_REGISTRIES} registries, the most that are read")]
    TooManyRegistries,
    /// More mirrors than are read.
    #[error("{0} has more than {MAX_MIRRORS} mirrors, the most that are read")]
    TooManyMirrors(Place),
    /// Not TOML.
    #[error("it is not TOML: {0}")]
    Toml(#[from] toml_edit::TomlError),
    /// A value of another type.
    #[error("{place}: `{field}` is {found}, not {wanted}: write {wanted}")]
    Type {
        /// Where.
        place: Place,
        /// The key.
        field: String,
        /// What stands there.
        found: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// Keys that the library takes for the same one, at random.
    #[error(
        "{place}: `{field}` stands there twice, in upper and lower case, and CRI-O uses either of \
         the two: remove one"
    )]
    Twice {
        /// Where.
        place: Place,
        /// The key.
        field: &'static str,
    },
    /// Neither `location` nor `prefix`.
    #[error("{0} has neither `location` nor `prefix`: give it a location")]
    NoName(Place),
    /// A prefix alone, and no wildcard.
    #[error(
        "{place} has the prefix `{prefix}` and no location, which only a prefix like \
         `*.example.com` can do without: give it a location"
    )]
    NoLocation {
        /// Which registry.
        place: Place,
        /// Its prefix.
        prefix: String,
    },
    /// A mirror without a location.
    #[error("{0} has no location: give it one, or remove it")]
    NoMirrorLocation(Place),
    /// `https://` in a location or prefix.
    #[error("{place}: `{location}` has a scheme: write it without `http://` or `https://`")]
    Scheme {
        /// Where.
        place: Place,
        /// As it stands there.
        location: String,
    },
    /// A wildcard with port or path.
    #[error("{place}: a wildcard has neither port nor path: write `{prefix}` as `*.example.com`")]
    Wildcard {
        /// Which registry.
        place: Place,
        /// Its prefix.
        prefix: String,
    },
    /// `pull-from-mirror` beside a registry's own location.
    #[error(
        "{0} has `pull-from-mirror`, which belongs into [[registry.mirror]]: move it there or \
         remove it"
    )]
    PullFromRegistry(Place),
    /// Two ways to say for which references a mirror is.
    #[error(
        "{0} has `pull-from-mirror` and its registry `mirror-by-digest-only`: remove one of the two"
    )]
    PullsTwice(Place),
    /// Another word in `pull-from-mirror`.
    #[error(
        "{place}: `{word}` is no value of `pull-from-mirror`: write `all`, `digest-only` or \
         `tag-only`"
    )]
    Pulls {
        /// Which mirror.
        place: Place,
        /// As it stands there.
        word: String,
    },
    /// One location that is `insecure` or `blocked` here, and not there.
    #[error(
        "{place} and {other} are both about `{location}` and have different values of `{field}`: \
         give both the same"
    )]
    Conflict {
        /// Which registry.
        place: Place,
        /// The other.
        other: Place,
        /// Their location.
        location: String,
        /// The key.
        field: &'static str,
    },
    /// No host among the search registries.
    #[error(
        "the registries to search have `{0}`, which is no registry host: write a host with an \
         optional port"
    )]
    Search(String),
    /// Another word in `short-name-mode`.
    #[error(
        "`{0}` is no value of `short-name-mode`: write `enforcing`, `permissive` or `disabled`"
    )]
    ShortNameMode(String),
    /// The left side of an alias.
    #[error("[aliases]: `{0}` is no short name: write an image name without host, tag and digest")]
    ShortName(String),
    /// The right side of an alias.
    #[error(
        "[aliases]: `{name}` stands for `{image}`, which is no full image name: write one with a \
         host, and without tag and digest"
    )]
    Alias {
        /// The short name.
        name: String,
        /// What it stands for.
        image: String,
    },
    /// Both versions of the format.
    #[error(
        "it mixes the versions of the format: move what the tables below [registries] say into \
         `unqualified-search-registries` and [[registry]], and remove them"
    )]
    Mixed,
    /// Version 1 in a drop-in.
    #[error(
        "it is in version 1 of the format, which drop-ins cannot be: use \
         `unqualified-search-registries` and [[registry]] in place of the tables below [registries]"
    )]
    DropInOfVersion1,
}

/// Which file is refused, and why.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {error}")]
pub struct SourceError {
    /// The name that the file was read under.
    pub file: String,
    /// Why.
    #[source]
    pub error: RegistriesConfError,
}
