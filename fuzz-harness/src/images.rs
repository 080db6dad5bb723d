//! Images to try tables with.

use policy::digest::Digest;
use policy::reference::Reference;
use policy::scope::ScopeVersion;

/// Some image inside a scope; nothing where its name would be longer than names may be.
pub(crate) fn inside(scope: &policy::scope::Scope) -> Option<Reference> {
    let text = scope.as_str();
    let name = if let Some(domain) = text.strip_prefix("*.") {
        format!("some.{domain}/team/app:v1")
    } else if scope.version().is_some() {
        text.to_owned()
    } else if text == "docker.io" || !scope.is_repository() {
        format!("{text}/team/app:v1")
    } else {
        format!("{text}/app:v1")
    };
    Reference::parse(&name).ok()
}

/// The names that stand for an image, its scope's own version among them.
pub(crate) fn all_inside(scope: &policy::scope::Scope) -> Vec<Reference> {
    let mut all: Vec<Reference> = inside(scope).into_iter().collect();
    let text = scope.as_str();
    if scope.is_repository()
        && text.matches('/').count() > usize::from(text.starts_with("docker.io/"))
    {
        let digest = Digest::of(text.as_bytes());
        all.extend(Reference::parse(&format!("{text}:v1")));
        all.extend(Reference::parse(&format!("{text}@{digest}")));
    }
    if let Some(ScopeVersion::Digest(_)) = scope.version() {
        // A pod may write a tag as well; the runtimes drop it.
        all.extend(Reference::parse(&text.replace('@', ":v1@")));
    }
    all
}
