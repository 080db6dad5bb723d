//! The members of each document that may say something else and the image still be allowed: a flip
//! there is believed by nobody.

/// What is not read of a manifest of signatures.
pub(crate) const MANIFEST_UNREAD: [&str; 12] = [
    "/schemaVersion",
    "/schemaVersion (gone)",
    "/config (gone)",
    "/config/mediaType",
    "/config/mediaType (gone)",
    "/config/digest",
    "/config/digest (gone)",
    "/config/size",
    "/config/size (gone)",
    // The bytes are bounded, and hashed.
    "/layers/0/size",
    "/layers/0/size (gone)",
    // The registry's header says it alone then.
    "/mediaType (gone)",
];

/// What makes no difference in the annotations of a keyless signature.
pub(crate) const ANNOTATIONS_UNREAD: [&str; 5] = [
    // Where the certificate is right below a root, nothing of the chain is needed.
    "/layers/0/annotations/dev.sigstore.cosign/chain",
    "/layers/0/annotations/dev.sigstore.cosign/chain (gone)",
    "/layers/0/annotations/dev.sigstore.cosign/chain (spelling)",
    "/layers/0/annotations/dev.sigstore.cosign/certificate (spelling)",
    // Hexadecimal digits may be capitals; what the log signed has small ones.
    "/layers/0/annotations/dev.sigstore.cosign/bundle#/Payload/logID (spelling)",
];

/// What is not read of the list of referrers.
pub(crate) const INDEX_UNREAD: [&str; 10] = [
    "/schemaVersion",
    "/schemaVersion (gone)",
    "/mediaType (gone)",
    "/manifests/0/mediaType",
    "/manifests/0/size",
    "/manifests/0/size (gone)",
    // They only say what is not worth a look: what a bundle is stands in what is signed.
    "/manifests/0/artifactType",
    "/manifests/0/artifactType (gone)",
    "/manifests/0/annotations (gone)",
    "/manifests/0/annotations/dev.sigstore.bundle.predicateType (gone)",
];

/// What is not read of a referrer's manifest: who owns the registry lists what they like anyway.
pub(crate) const REFERRER_UNREAD: [&str; 14] = [
    "/schemaVersion",
    "/schemaVersion (gone)",
    "/mediaType (gone)",
    "/artifactType",
    "/artifactType (gone)",
    "/layers/0/size",
    "/layers/0/size (gone)",
    "/subject (gone)",
    "/subject/mediaType",
    "/subject/mediaType (gone)",
    "/subject/digest",
    "/subject/digest (gone)",
    "/subject/size",
    "/subject/size (gone)",
];

/// What makes no difference in a bundle by key.
pub(crate) const KEY_BUNDLE_UNREAD: [&str; 3] = [
    // The layer's type says it, too.
    "/mediaType (gone)",
    // Keys are the policy's.
    "/verificationMaterial/publicKey/hint",
    "/verificationMaterial/publicKey/hint (gone)",
];

/// What makes no difference in a keyless bundle.
pub(crate) const KEYLESS_BUNDLE_UNREAD: [&str; 5] = [
    "/mediaType (gone)",
    // The name beside a checkpoint's signature: it is by a key that is trusted, whatever it is called.
    "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
    // None and zero are what protobuf's JSON means by nothing.
    "/verificationMaterial/tlogEntries/0/inclusionProof/hashes (gone)",
    "/verificationMaterial/tlogEntries/0/inclusionProof/logIndex (gone)",
    "/verificationMaterial/tlogEntries/0/logIndex (gone)",
];
