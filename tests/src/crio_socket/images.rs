//! The images on the node that there is none of.

use crate::cri::api::Image;
use crate::oci::sha256;

/// Where an image of this name, digest or id is.
pub(super) fn find(images: &[Image], reference: &str) -> Option<usize> {
    images.iter().position(|image| {
        let mut names = image.repo_tags.iter().chain(&image.repo_digests);
        image.id == reference || names.any(|name| name == reference)
    })
}

/// Puts an image on the node; returns its id, which follows from its name.
pub(super) fn add(images: &mut Vec<Image>, reference: &str) -> String {
    if let Some(at) = find(images, reference) {
        return images[at].id.clone();
    }
    let digest = sha256(reference.as_bytes());
    let id = digest.trim_start_matches("sha256:").to_owned();
    let (name, by_digest) = reference.split_once('@').unwrap_or((reference, ""));
    // A colon before the last slash is that of a port.
    let slash = name.rfind('/').unwrap_or_default();
    let tag = name[slash..].find(':').map(|colon| slash + colon);
    let repository = &name[..tag.unwrap_or(name.len())];
    let digest = if by_digest.is_empty() {
        digest.as_str()
    } else {
        by_digest
    };
    images.push(Image {
        id: id.clone(),
        // CRI-O keeps no tag of a pull by digest.
        repo_tags: match tag {
            Some(_) if by_digest.is_empty() => vec![reference.to_owned()],
            _ => vec![],
        },
        repo_digests: vec![format!("{repository}@{digest}")],
        size: 1,
        spec: None,
        pinned: false,
    });
    id
}
