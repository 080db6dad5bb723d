//! What the texts of the runtimes say about who refused a pull.

use policy::digest::Digest;

/// The word at the start of our verifier's line and of CRI-O's error, which the kubelet knows.
const REFUSED: &str = "SignatureValidationFailed";

/// Who refused a pull of containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verifier {
    /// Our verifier, about the image in question, by the table of this bundle.
    Ours(Digest),
    /// A verifier: another one, or ours without having come to a table or to the image, or one that
    /// crashed or could not be started.
    Other,
    /// None: the pull failed for another reason.
    None,
}

/// Reads the error of a pull through containerd's transfer service (`core/transfer/local/pull.go`,
/// `pkg/imageverifier/bindir`): `… image verifier bindir blocked pull of R with digest D for reason:
/// verifier N rejected image (exit code C): LINE`, or `… blocking pull of R with digest D: image
/// verifier bindir returned error: …`. Ours ends its line in `[bundle DIGEST, image NAME]`.
pub(super) fn containerd(message: &str, image: &str) -> Verifier {
    let Some((_, reason)) = message.split_once(" blocked pull of ") else {
        let failed = message.contains("blocking pull of ");
        return if failed {
            Verifier::Other
        } else {
            Verifier::None
        };
    };
    let ours = || {
        let (_, line) = reason.split_once(" rejected image (exit code ")?;
        let (_, line) = line.split_once("): ")?;
        let line = line.strip_prefix(REFUSED)?.strip_prefix(": ")?;
        let (_, context) = line.rsplit_once(" [bundle ")?;
        let (context, _) = context.split_once(']')?;
        let (bundle, named) = context.split_once(", image ")?;
        let bundle = Digest::parse(bundle).ok()?;
        (named == image).then_some(bundle)
    };
    ours().map_or(Verifier::Other, Verifier::Ours)
}

/// Whether a pull of containerd failed as one does that went on to fetch an image of this
/// repository, which nothing serves: `failed to pull and unpack image "R": failed to copy: … not
/// found`, or what the first mirror said in place of `not found`. A name that could not be resolved
/// was not fetched (`failed to resolve …`).
pub(super) fn containerd_fetched(message: &str, repository: &str) -> bool {
    let fetched = message.contains("failed to copy") || message.contains("not found");
    fetched && message.contains(repository) && !message.contains("failed to resolve")
}

/// Whether CRI-O refused a pull by its policy.
pub(super) fn crio_refused(message: &str) -> bool {
    message.contains(REFUSED)
}

/// Whether CRI-O could not read its policy and so refuses every pull: `invalid policy in "PATH": …`
/// (`signature/policy_config.go` of the library).
pub(super) fn crio_unreadable(message: &str) -> bool {
    message.contains("invalid policy in ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "127.0.0.1:23456/nodeseal-probe/00:11@sha256:22";

    fn blocked(reason: &str) -> Verifier {
        let message = format!(
            "failed to pull and unpack image \"127.0.0.1:23456/nodeseal-probe/00:11\": image verifier bindir blocked pull of 127.0.0.1:23456/nodeseal-probe/00:11 with digest sha256:22 for reason: verifier {reason}"
        );
        containerd(&message, IMAGE)
    }

    #[test]
    fn only_our_line_about_this_image_is_ours() {
        let bundle = Digest::of(b"bundle");
        let head = "nodeseal-verifier rejected image (exit code 1): SignatureValidationFailed: NotAllowed (fatal): this image is always refused on this node (scope `127.0.0.1:23456/nodeseal-probe/00`)";
        let line = format!("{head} [bundle {bundle}, image {IMAGE}]");
        assert_eq!(blocked(&line), Verifier::Ours(bundle.clone()));
        // containerd or a proxy of the CRI may add something.
        assert_eq!(
            blocked(&format!("{line}\n: unknown")),
            Verifier::Ours(bundle.clone())
        );
        for other in [
            // Another nonce, another digest, no bundle, half a digest, no context at all.
            line.replace(":11@", ":12@"),
            line.replace("@sha256:22", "@sha256:23"),
            format!("{head} [image {IMAGE}]"),
            format!("{head} [bundle sha256:00, image {IMAGE}]"),
            head.to_owned(),
            // Something that only repeats our words, and something that says nothing.
            format!(
                "other rejected image (exit code 1): said: SignatureValidationFailed: x [bundle {bundle}, image {IMAGE}]"
            ),
            format!("other rejected image (exit code 1): no [bundle {bundle}, image {IMAGE}]"),
            "nodeseal-verifier rejected image (exit code 134): ".to_owned(),
            "nodeseal-verifier rejected image (exit code -1): ".to_owned(),
            String::new(),
        ] {
            assert_eq!(blocked(&other), Verifier::Other, "{other}");
        }
    }

    #[test]
    fn a_verifier_that_cannot_be_started_is_told_from_a_pull_that_failed_by_itself() {
        let broken = "failed to pull and unpack image \"R\": blocking pull of R with digest D: image verifier bindir returned error: failed to call verifier nodeseal-verifier (runtime 1ms): fork/exec /v/nodeseal-verifier: exec format error";
        assert_eq!(containerd(broken, IMAGE), Verifier::Other);
        let failed =
            "failed to pull and unpack image \"R\": failed to resolve image: connection refused";
        assert_eq!(containerd(failed, IMAGE), Verifier::None);
    }

    #[test]
    fn only_what_was_not_found_after_its_name_was_resolved_was_fetched() {
        let repository = "nodeseal-probe/00";
        let fetched = format!(
            "failed to pull and unpack image \"{IMAGE}\": failed to copy: httpReadSeeker: failed open: content at http://127.0.0.1:23456/v2/nodeseal-probe/00/manifests/sha256:22 not found: not found"
        );
        assert!(containerd_fetched(&fetched, repository));
        let mirror = format!(
            "failed to pull and unpack image \"{IMAGE}\": failed to copy: httpReadSeeker: failed open: failed to do request: Get \"http://127.0.0.1:28928/v2/\": dial tcp 127.0.0.1:28928: connect: connection refused"
        );
        assert!(containerd_fetched(&mirror, repository));
        for other in [
            format!(
                "failed to pull and unpack image \"{IMAGE}\": failed to resolve image: {IMAGE}: not found"
            ),
            format!("failed to pull and unpack image \"{IMAGE}\": connection refused"),
            fetched.replace(repository, "nodeseal-probe/01"),
        ] {
            assert!(!containerd_fetched(&other, repository), "{other}");
        }
    }

    #[test]
    fn crios_refusal_is_told_from_a_policy_that_it_cannot_read() {
        let refused = "SignatureValidationFailed: Source image rejected: Running image docker://R is rejected by policy.";
        assert!(crio_refused(refused) && !crio_unreadable(refused));
        let unreadable = "invalid policy in \"/etc/crio/policy.json\": Unknown key \"bogus\"";
        assert!(!crio_refused(unreadable) && crio_unreadable(unreadable));
    }
}
