//! Covered images on the node that no verdict let in: there before the verifier, imported, or
//! pulled past it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use policy::bundle::DefaultAction;
use policy::flatten::{Flat, Outcome};
use policy::reference::Reference;

use super::recent::MOST_SHOWN;
use super::seen::Seen;

/// An image as CRI's `ListImages` has it. Its id is the digest of its configuration, which no verdict
/// names; what it was pulled as stands in `digests`.
#[derive(Debug, Clone, Copy)]
pub struct OnNode<'a> {
    /// `repository:tag`, for each of its tags.
    pub tags: &'a [String],
    /// `repository@sha256:…` of the index or manifest, for each that it was pulled by. Empty for one
    /// that was imported.
    pub digests: &'a [String],
}

/// Covered images without a verdict.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// Their names, sorted: with a tag where there is one. At most [`MOST_SHOWN`].
    pub names: Vec<String>,
    /// How many there are.
    pub count: usize,
}

/// The images of which a name is covered, and that passed no policy under that repository.
///
/// An image is covered where a pull would ask for more than a yes: by a policy, enforcing or in audit
/// mode, by the default action `Reject`, or because it is always refused. Names that do not parse are
/// left aside: no pod can ask for them. What is found in `seen` is kept there for longer.
pub fn unverified<'a>(
    images: impl IntoIterator<Item = OnNode<'a>>,
    flat: &Flat,
    seen: &mut Seen,
) -> Unverified {
    let mut names = BTreeSet::new();
    for image in images {
        for (repository, names_of) in by_repository(image) {
            // All of them, so that each is kept.
            let digests = names_of.iter().filter_map(Reference::digest);
            let verdicts = digests.filter(|digest| seen.has(&repository, digest.as_str()));
            if verdicts.count() > 0 {
                continue;
            }
            // Tags before digests, as they stand.
            let covered = names_of.iter().find(|name| is_covered(flat, name));
            if covered.is_some()
                && let Some(name) = names_of.first()
            {
                names.insert(name.to_string());
            }
        }
    }
    let count = names.len();
    let names = names.into_iter().take(MOST_SHOWN).collect();
    Unverified { names, count }
}

/// The names of an image, each repository's apart: a verdict holds for one.
fn by_repository(image: OnNode<'_>) -> BTreeMap<String, Vec<Reference>> {
    let mut all: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for name in image.tags.iter().chain(image.digests) {
        if let Ok(name) = Reference::parse(name) {
            all.entry(name.repository()).or_default().push(name);
        }
    }
    all
}

fn is_covered(flat: &Flat, name: &Reference) -> bool {
    let decision = flat.decide(name);
    match decision.outcome {
        Outcome::Exempt => false,
        Outcome::Refused | Outcome::Verify(_) | Outcome::Default(DefaultAction::Reject) => true,
        Outcome::Default(DefaultAction::Allow) => !decision.audit.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use policy::bundle::{Bundle, Settings};
    use policy::digest::Digest;
    use policy::flatten::{NodeFacts, flatten};
    use policy::scope::Scope;
    use policy::verdicts::Record;

    use super::*;
    use crate::testing::policy;
    use crate::verdicts::tests::record;

    fn table(default_action: DefaultAction, scopes: &[&str], exempt: &[&str]) -> Flat {
        let settings = Settings {
            default_action,
            ..Settings::default()
        };
        let policies = scopes.iter().enumerate();
        let policies = policies.map(|(number, scope)| policy(&format!("p{number}"), scope));
        let exempt = exempt.iter().map(|scope| Scope::parse(scope).unwrap());
        let facts = NodeFacts {
            exempt: exempt.collect(),
            ..NodeFacts::default()
        };
        flatten(&Bundle::new(settings, policies), &facts)
    }

    struct Image {
        tags: Vec<String>,
        digests: Vec<String>,
    }

    fn digest(of: &str) -> String {
        Digest::of(of.as_bytes()).to_string()
    }

    /// As it was pulled: by tag, which gives it a digest too.
    fn image(name: &str) -> Image {
        let (repository, _) = name.rsplit_once(':').unwrap();
        Image {
            tags: vec![name.to_owned()],
            digests: vec![format!("{repository}@{}", digest(name))],
        }
    }

    fn look(images: &[Image], flat: &Flat, seen: &mut Seen) -> Unverified {
        let images = images.iter().map(|image| OnNode {
            tags: &image.tags,
            digests: &image.digests,
        });
        unverified(images, flat, seen)
    }

    fn pulled(seen: &mut Seen, name: &str) {
        seen.take(&Record {
            digest: digest(name),
            ..record(name)
        });
    }

    #[test]
    fn covered_images_without_a_verdict_are_named_and_others_are_not() {
        let flat = table(
            DefaultAction::Allow,
            &["example.com/team"],
            &["example.com/team/exempt"],
        );
        let names = ["team/a:1", "team/b:1", "team/exempt:1", "other:1"];
        let images = names.map(|name| image(&format!("example.com/{name}")));
        let mut seen = Seen::default();
        pulled(&mut seen, "example.com/team/b:1");
        let found = look(&images, &flat, &mut seen);
        assert_eq!(
            (found.names, found.count),
            (vec!["example.com/team/a:1".to_owned()], 1)
        );
        // The default action covers the rest, but what is exempt.
        let strict = table(
            DefaultAction::Reject,
            &["example.com/team"],
            &["example.com/team/exempt"],
        );
        let found = look(&images, &strict, &mut seen);
        assert_eq!(found.names, ["example.com/other:1", "example.com/team/a:1"]);
    }

    #[test]
    fn an_imported_image_has_no_digest_and_so_no_verdict() {
        let flat = table(DefaultAction::Allow, &["example.com/a"], &[]);
        let mut seen = Seen::default();
        pulled(&mut seen, "example.com/a:1");
        let imported = Image {
            digests: Vec::new(),
            ..image("example.com/a:1")
        };
        assert_eq!(look(&[imported], &flat, &mut seen).count, 1);
        assert_eq!(look(&[image("example.com/a:1")], &flat, &mut seen).count, 0);
    }

    #[test]
    fn index_or_manifest_whichever_was_pulled_has_the_verdict() {
        let flat = table(DefaultAction::Allow, &["example.com/a"], &[]);
        let mut seen = Seen::default();
        pulled(&mut seen, "example.com/a:1");
        let mut both = image("example.com/a:1");
        both.tags.clear();
        both.digests
            .insert(0, format!("example.com/a@{}", digest("its manifest")));
        assert_eq!(look(&[both], &flat, &mut seen).count, 0);
    }

    #[test]
    fn a_verdict_under_one_name_is_none_under_another() {
        let flat = table(
            DefaultAction::Allow,
            &["example.com", "mirror.example"],
            &[],
        );
        let mut seen = Seen::default();
        pulled(&mut seen, "example.com/a:1");
        let mut both = image("example.com/a:1");
        let other = digest("example.com/a:1");
        both.digests.push(format!("mirror.example/a@{other}"));
        let found = look(&[both], &flat, &mut seen);
        assert_eq!(found.names, [format!("mirror.example/a@{other}")]);
    }

    #[test]
    fn a_scope_of_one_tag_or_one_digest_covers_only_that() {
        let one = digest("example.com/b:1");
        let scopes = ["example.com/a:1", &format!("example.com/b@{one}")];
        let flat = table(DefaultAction::Allow, &scopes, &[]);
        let images = ["a:1", "a:2", "b:1", "b:2"].map(|name| image(&format!("example.com/{name}")));
        let found = look(&images, &flat, &mut Seen::default());
        assert_eq!(found.names, ["example.com/a:1", "example.com/b:1"]);
    }

    #[test]
    fn ten_are_named_and_all_are_counted_in_any_order() {
        let flat = table(DefaultAction::Reject, &[], &[]);
        let mut images: Vec<Image> = (0..300)
            .map(|number| image(&format!("example.com/{number:03}:1")))
            .collect();
        images.push(Image {
            tags: vec!["<none>:<none>".to_owned()],
            digests: vec!["<none>@<none>".to_owned()],
        });
        let found = look(&images, &flat, &mut Seen::default());
        assert_eq!((found.names.len(), found.count), (MOST_SHOWN, 300));
        assert_eq!(found.names[9], "example.com/009:1");
        images.reverse();
        assert_eq!(look(&images, &flat, &mut Seen::default()), found);
    }
}
