//! Which name a signature must carry.

use serde::{Deserialize, Serialize};

use crate::reference::{Named, Reference};

/// The rule by which the name in a signature is compared with the image that is pulled. The rules
/// are those of `signedIdentity` in containers-policy.json(5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all_fields = "camelCase")]
pub enum SignedIdentity {
    /// The same repository, whatever the tag.
    MatchRepository {
        /// What to do with signatures that name only a digest.
        unnamed: UnnamedSignatures,
    },
    /// For a tag the very same `repository:tag`; for a digest the same repository. The signature
    /// must carry a tag or digest, which plain cosign signatures do not.
    #[serde(deserialize_with = "nothing_more")]
    MatchRepoDigestOrExact,
    /// One given repository, whatever the image is called: for copies under another name.
    ExactRepository {
        /// `host/path`, without tag.
        repository: String,
    },
    /// The image's name with `prefix` replaced by `signedPrefix`, then as
    /// [`SignedIdentity::MatchRepoDigestOrExact`]: for mirrors.
    RemapIdentity {
        /// `host` or `host/path` that images are pulled from.
        prefix: String,
        /// What stands in its place in signatures.
        signed_prefix: String,
    },
}

/// `deny_unknown_fields` does not reach variants without fields, and an ignored field could be one that
/// denies.
fn nothing_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(deserializer).map(|Nothing {}| ())
}

/// What to do with a signature that names only a digest and no repository, as the bundles do that
/// cosign 3 makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UnnamedSignatures {
    /// Let it pass: the digest ties it to the image.
    Accept,
    /// Refuse it: a signature for one repository must not serve in another.
    Refuse,
}

/// Why a validly signed name does not fit the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityMismatch {
    /// The signature names no repository, and the rule wants one.
    #[error("the signature names only a digest, and the policy wants a repository name in it")]
    Unnamed,
    /// The name does not parse.
    #[error("the signature carries a name that is no image reference")]
    Unparsable,
    /// The name has neither tag nor digest where the rule compares them.
    #[error("the signature names `{0}` without the tag that the policy compares")]
    NameOnly(String),
    /// Another name.
    #[error("the signature is for `{signed}`, the policy wants `{wanted}`")]
    Other {
        /// The name in the signature.
        signed: String,
        /// What would have been right.
        wanted: String,
    },
}

impl SignedIdentity {
    /// Whether a signature that carries the name `signed` (nothing, if it names only a digest)
    /// may vouch for `image`. The digest itself is compared elsewhere.
    pub fn accepts(&self, image: &Reference, signed: Option<&str>) -> Result<(), IdentityMismatch> {
        let Some(signed) = signed else {
            return match self {
                Self::MatchRepository {
                    unnamed: UnnamedSignatures::Accept,
                } => Ok(()),
                _ => Err(IdentityMismatch::Unnamed),
            };
        };
        let signed = Named::parse(signed).map_err(|_| IdentityMismatch::Unparsable)?;
        match self {
            Self::MatchRepository { .. } => same_repository(&signed, &image.repository()),
            Self::ExactRepository { repository } => same_repository(&signed, repository),
            Self::MatchRepoDigestOrExact => {
                digest_or_exact(&signed, &image.repository(), image.tag())
            }
            Self::RemapIdentity {
                prefix,
                signed_prefix,
            } => {
                let repository = image.repository();
                let remapped = match repository.strip_prefix(prefix.as_str()) {
                    Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                        format!("{signed_prefix}{rest}")
                    }
                    _ => repository,
                };
                digest_or_exact(&signed, &remapped, image.tag())
            }
        }
    }
}

fn same_repository(signed: &Named, wanted: &str) -> Result<(), IdentityMismatch> {
    if signed.repository() == wanted {
        return Ok(());
    }
    Err(IdentityMismatch::Other {
        signed: signed.repository(),
        wanted: wanted.to_owned(),
    })
}

/// `matchRepoDigestOrExact` of containers/image: a name-only signature never matches.
fn digest_or_exact(
    signed: &Named,
    wanted: &str,
    tag: Option<&str>,
) -> Result<(), IdentityMismatch> {
    if signed.tag().is_none() && signed.digest().is_none() {
        return Err(IdentityMismatch::NameOnly(signed.repository()));
    }
    let Some(tag) = tag else {
        return same_repository(signed, wanted);
    };
    if signed.repository() == wanted && signed.tag() == Some(tag) && signed.digest().is_none() {
        return Ok(());
    }
    let version = match (signed.tag(), signed.digest()) {
        (Some(tag), _) => format!(":{tag}"),
        (None, Some(digest)) => format!("@{digest}"),
        (None, None) => String::new(),
    };
    Err(IdentityMismatch::Other {
        signed: format!("{}{version}", signed.repository()),
        wanted: format!("{wanted}:{tag}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    const ACCEPT: SignedIdentity = SignedIdentity::MatchRepository {
        unnamed: UnnamedSignatures::Accept,
    };

    fn image(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    fn by_digest(repository: &str) -> Reference {
        image(&format!("{repository}@{}", Digest::of(b"x")))
    }

    #[test]
    fn match_repository_compares_repositories_and_not_tags() {
        let app = image("example.com/app:v1");
        assert_eq!(ACCEPT.accepts(&app, Some("example.com/app")), Ok(()));
        assert_eq!(ACCEPT.accepts(&app, Some("example.com/app:v2")), Ok(()));
        assert!(matches!(
            ACCEPT.accepts(&app, Some("example.com/other")),
            Err(IdentityMismatch::Other { .. })
        ));
        assert_eq!(
            ACCEPT.accepts(&app, Some("///")),
            Err(IdentityMismatch::Unparsable)
        );
        let busybox = image("busybox");
        assert_eq!(
            ACCEPT.accepts(&busybox, Some("index.docker.io/library/busybox")),
            Ok(())
        );
    }

    #[test]
    fn unnamed_signatures_pass_only_where_match_repository_accepts_them() {
        let app = image("example.com/app:v1");
        assert_eq!(ACCEPT.accepts(&app, None), Ok(()));
        for rule in [
            SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Refuse,
            },
            SignedIdentity::MatchRepoDigestOrExact,
            SignedIdentity::ExactRepository {
                repository: "example.com/app".into(),
            },
            SignedIdentity::RemapIdentity {
                prefix: "example.com".into(),
                signed_prefix: "example.com".into(),
            },
        ] {
            assert_eq!(
                rule.accepts(&app, None),
                Err(IdentityMismatch::Unnamed),
                "{rule:?}"
            );
        }
    }

    #[test]
    fn digest_or_exact_wants_the_very_tag_or_any_version_for_a_digest() {
        let rule = SignedIdentity::MatchRepoDigestOrExact;
        let tagged = image("example.com/app:v1");
        assert_eq!(rule.accepts(&tagged, Some("example.com/app:v1")), Ok(()));
        assert!(matches!(
            rule.accepts(&tagged, Some("example.com/app:v2")),
            Err(IdentityMismatch::Other { .. })
        ));
        assert!(matches!(
            rule.accepts(&tagged, Some("example.com/app")),
            Err(IdentityMismatch::NameOnly(_))
        ));
        assert_eq!(
            rule.accepts(&by_digest("example.com/app"), Some("example.com/app:v2")),
            Ok(())
        );
        assert!(
            rule.accepts(&by_digest("example.com/app"), Some("example.com/app"))
                .is_err()
        );
    }

    #[test]
    fn exact_repository_ignores_the_name_that_was_pulled() {
        let rule = SignedIdentity::ExactRepository {
            repository: "example.com/app".into(),
        };
        assert_eq!(
            rule.accepts(&image("mirror.example/x:v1"), Some("example.com/app:v9")),
            Ok(())
        );
        assert!(
            rule.accepts(&image("example.com/app"), Some("mirror.example/x"))
                .is_err()
        );
    }

    #[test]
    fn remap_identity_replaces_whole_path_components_only() {
        let rule = SignedIdentity::RemapIdentity {
            prefix: "mirror.example/team".into(),
            signed_prefix: "example.com/team".into(),
        };
        let signed = |name| Some(name);
        assert_eq!(
            rule.accepts(
                &image("mirror.example/team/a:1"),
                signed("example.com/team/a:1")
            ),
            Ok(())
        );
        assert!(
            rule.accepts(
                &image("mirror.example/teams/a:1"),
                signed("example.com/teams/a:1")
            )
            .is_err()
        );
        assert_eq!(
            rule.accepts(&image("other.example/a:1"), signed("other.example/a:1")),
            Ok(())
        );
    }

    #[test]
    fn a_field_that_is_not_known_is_refused_in_every_form() {
        for known in [
            r#"{"type":"MatchRepository","unnamed":"Accept"}"#,
            r#"{"type":"MatchRepoDigestOrExact"}"#,
            r#"{"type":"ExactRepository","repository":"a.example/b"}"#,
            r#"{"type":"RemapIdentity","prefix":"a.example","signedPrefix":"b.example"}"#,
        ] {
            let read = serde_json::from_str::<SignedIdentity>(known).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), known);
            let more = known.replace('}', r#","later":1}"#);
            let read = serde_json::from_str::<SignedIdentity>(&more);
            assert!(read.is_err(), "{more}: {read:?}");
        }
    }
}
