//! The names of the two images, and the one manifest that both have.

use std::fmt;

use policy::digest::Digest;
use policy::scope::{Scope, ScopeError};

/// The repositories of this registry lie below it.
const ROOT: &str = "nodeseal-probe";
/// How much of the bundle's digest stands in a name: 16 hexadecimal digits, 64 bits.
const SHORT: usize = 16;

/// The manifest's media type.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The manifest of both images. It has no layers, and its config is never served: nobody can run this,
/// and nobody can store it whole. The config is no content that a node could have from elsewhere, as
/// it could have the empty object: CRI-O would not ask for it then.
pub(super) const MANIFEST: &str = concat!(
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
    r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:0f5db05bc2ae378ff223fe955d040fa94d3273d1025c23584abf3d94df9187f4","size":43},"#,
    r#""layers":[]}"#,
);
/// The digest of its config.
pub(super) const CONFIG: &str =
    "sha256:0f5db05bc2ae378ff223fe955d040fa94d3273d1025c23584abf3d94df9187f4";

/// What the node adds to its facts before it makes its table of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// Always refused: one repository.
    pub deny: Scope,
    /// Always accepted: one digest of one repository. Whoever takes the port can serve nothing else
    /// under it.
    pub allow: Scope,
}

/// Why there are no scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scope of the proof's images is not valid: {0}")]
pub struct ScopesError(#[from] ScopeError);

/// The scopes for the table of this bundle on a node whose registry has this port.
pub fn scopes(port: u16, bundle: &Digest) -> Result<Scopes, ScopesError> {
    let (deny, allow) = repositories(bundle);
    let scope = |text: String| Scope::parse_compiled(&text);
    Ok(Scopes {
        deny: scope(format!("127.0.0.1:{port}/{deny}"))?,
        allow: scope(format!("127.0.0.1:{port}/{allow}@{}", manifest()))?,
    })
}

/// The digest of the manifest.
pub(super) fn manifest() -> Digest {
    Digest::of(MANIFEST.as_bytes())
}

/// The repositories of the image that is refused and of the one that passes. The second has the
/// bundle in its name too: CRI-O says nothing of the table that it decides by, and an older table
/// whose default is to refuse would refuse the first image as well.
fn repositories(bundle: &Digest) -> (String, String) {
    let short = &bundle.hex()[..SHORT];
    (format!("{ROOT}/{short}"), format!("{ROOT}/allow/{short}"))
}

/// Something that nobody could know before: the tag of the image that has to be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// From random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(random)))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The images of one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    host: String,
    bundle: Digest,
    manifest: Digest,
    deny: Image,
    allow: Image,
}

/// An image in this registry: its repository, and what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) repository: String,
    pub(super) reference: String,
}

impl Names {
    /// The images for a proof of this bundle, in the registry at this port.
    #[must_use]
    pub fn new(port: u16, bundle: &Digest, nonce: &Nonce) -> Self {
        let manifest = manifest();
        let (deny, allow) = repositories(bundle);
        Self {
            host: format!("127.0.0.1:{port}"),
            bundle: bundle.clone(),
            deny: Image {
                repository: deny,
                reference: nonce.to_string(),
            },
            allow: Image {
                repository: allow,
                reference: manifest.to_string(),
            },
            manifest,
        }
    }

    /// What is pulled and has to be refused: by its tag, the nonce.
    #[must_use]
    pub fn deny(&self) -> String {
        let Image {
            repository,
            reference,
        } = &self.deny;
        format!("{}/{repository}:{reference}", self.host)
    }

    /// What is pulled and has to pass: by its digest.
    #[must_use]
    pub fn allow(&self) -> String {
        let Image {
            repository,
            reference,
        } = &self.allow;
        format!("{}/{repository}@{reference}", self.host)
    }

    /// The bundle whose table has to be in force.
    #[must_use]
    pub fn bundle(&self) -> &Digest {
        &self.bundle
    }

    /// The first image as the verifier writes it: with what it resolved to.
    pub(super) fn denied(&self) -> String {
        format!("{}@{}", self.deny(), self.manifest)
    }

    pub(super) fn deny_image(&self) -> &Image {
        &self.deny
    }

    pub(super) fn allow_image(&self) -> &Image {
        &self.allow
    }
}

#[cfg(test)]
mod tests {
    use policy::bundle::{Bundle, DefaultAction, Settings};
    use policy::flatten::{NodeFacts, Outcome, flatten};
    use policy::reference::Reference;

    use super::*;

    fn bundle(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn the_manifest_is_valid_and_names_its_config() {
        let manifest: serde_json::Value = serde_json::from_str(MANIFEST).unwrap();
        assert_eq!(manifest["mediaType"], MANIFEST_TYPE);
        assert_eq!(manifest["config"]["digest"], CONFIG);
        let config = b"nodeseal probe: this config is never served";
        assert_eq!(Digest::of(config).as_str(), CONFIG);
        assert_eq!(manifest["config"]["size"], config.len());
    }

    #[test]
    fn the_scopes_decide_about_the_images_of_their_own_bundle_alone() {
        let (new, old) = (bundle("new"), bundle("old"));
        let nonce = Nonce::new([7; 16]);
        for default_action in [DefaultAction::Allow, DefaultAction::Reject] {
            let settings = Settings {
                default_action,
                ..Settings::default()
            };
            let Scopes { deny, allow } = scopes(23_456, &new).unwrap();
            let facts = NodeFacts {
                accepted: [allow].into(),
                refused: [deny].into(),
                ..NodeFacts::default()
            };
            let flat = flatten(&Bundle::new(settings, []), &facts);
            let decided = |name: &str| flat.decide(&Reference::parse(name).unwrap()).outcome;
            let names = Names::new(23_456, &new, &nonce);
            assert_eq!(decided(&names.deny()), Outcome::Refused);
            assert_eq!(decided(&names.allow()), Outcome::Exempt);
            let other = Names::new(23_456, &old, &nonce);
            let default = Outcome::Default(default_action);
            assert_eq!(decided(&other.deny()), default);
            assert_eq!(decided(&other.allow()), default);
            let port = Names::new(23_457, &new, &nonce);
            assert_eq!(decided(&port.allow()), default);
            // By tag, or with other content, it is not the image that passes.
            let tagged = names.allow().replace(names.manifest.as_str(), "");
            assert_eq!(decided(&tagged.replace('@', ":latest")), default);
            let others = names.allow().replace(names.manifest.hex(), &"0".repeat(64));
            assert_eq!(decided(&others), default);
        }
    }

    #[test]
    fn the_nonce_is_a_tag() {
        assert_eq!(Nonce::new([0; 16]).to_string(), "0".repeat(32));
        assert_eq!(Nonce::new([0xff; 16]).to_string(), "f".repeat(32));
    }

    #[test]
    fn the_names_are_what_the_runtimes_normalise_them_to() {
        let names = Names::new(23_456, &bundle("x"), &Nonce::new([1; 16]));
        for name in [names.deny(), names.allow()] {
            assert_eq!(Reference::parse(&name).unwrap().to_string(), name);
        }
    }
}
