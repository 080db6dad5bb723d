//! Bodies that are cut, that never end, that say they are something else, or that grow.

use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use image_verifier::reason::Reason;

use crate::scene::{Honest, Signed, What, pull, pull_within};
use crate::support::registry::{INDEX, MANIFEST};
use crate::wire::{Act, Script, head, reply};

/// Everything that a signature takes, and how an image is signed there.
const DOCUMENTS: [(Signed, What); 5] = [
    (Signed::Attachment, What::Manifest),
    (Signed::Attachment, What::Blob),
    (Signed::Bundle, What::Referrers),
    (Signed::Bundle, What::Referrer),
    (Signed::Bundle, What::Blob),
];

/// What becomes of an honest answer to a request for one of the documents.
type Change = fn(&Honest) -> Script;

/// Pulls once for each document, which is changed; `reason` is why each pull is refused.
async fn spoil(name: &str, change: Change, reason: impl Fn(What) -> Reason) {
    for (signed, spoiled) in DOCUMENTS {
        let attack = move |honest: &Honest| (honest.what == spoiled).then(|| change(honest));
        let outcome = pull(signed, attack).await;
        let what = format!("{name}, {signed:?}, {spoiled:?}");
        outcome.refused(&what, reason(spoiled));
    }
}

/// What is wrong with a document that is whole, but not the one that was signed.
fn other_content(what: What) -> Reason {
    match what {
        What::Referrer | What::Blob => Reason::DigestMismatch,
        _ => unreadable(what),
    }
}

/// What is wrong with one that is no document of its kind: of what was asked for by digest, somebody
/// made it so; anything else is what the registry says, or somebody before it.
fn unreadable(what: What) -> Reason {
    match what {
        What::Referrer => Reason::MalformedSignature,
        _ => Reason::RegistryError,
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_no_body() {
    // The registry says how long it would have been.
    let change: Change = |honest| {
        let bytes = honest.bytes();
        let length = bytes.len().to_string();
        let kind = honest.kind();
        let mut acts = head(200, &[("Content-Type", kind), ("Content-Length", &length)]);
        acts.push(Act::Send(bytes[..bytes.len() / 2].to_vec()));
        acts
    };
    spoil("shorter than said", change, |_| Reason::RegistryError).await;
    // In chunks, without the last.
    let change: Change = |honest| {
        let bytes = honest.bytes();
        let headers = [
            ("Content-Type", honest.kind()),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut acts = head(200, &headers);
        acts.push(Act::Send(format!("{:x}\r\n", bytes.len()).into_bytes()));
        acts.push(Act::Send(bytes.to_vec()));
        acts
    };
    spoil("chunks without an end", change, |_| Reason::RegistryError).await;
    // The connection ends, and nobody said when it should.
    let change: Change = |honest| {
        let mut acts = head(200, &[("Content-Type", honest.kind())]);
        acts.push(Act::Send(
            honest.bytes()[..honest.bytes().len() / 2].to_vec(),
        ));
        acts
    };
    spoil("cut unnoticed", change, other_content).await;
}

#[tokio::test]
async fn a_length_that_is_not_the_bodys_is_no_way_in() {
    let short: Change = |honest| {
        let mut acts = head(
            200,
            &[("Content-Type", honest.kind()), ("Content-Length", "20")],
        );
        acts.push(Act::Send(honest.bytes().to_vec()));
        acts
    };
    spoil("longer than said", short, other_content).await;
    let none: Change = |honest| {
        let mut acts = head(
            200,
            &[("Content-Type", honest.kind()), ("Content-Length", "0")],
        );
        acts.push(Act::Send(honest.bytes().to_vec()));
        acts
    };
    spoil("said to be empty", none, other_content).await;
    for length in ["-1", "x", "18446744073709551616", "1e3", "0x10"] {
        let attack = move |honest: &Honest| {
            (honest.what == What::Manifest).then(|| {
                let headers = [("Content-Type", honest.kind()), ("Content-Length", length)];
                let mut acts = head(200, &headers);
                acts.push(Act::Send(honest.bytes().to_vec()));
                acts
            })
        };
        let outcome = pull(Signed::Attachment, attack).await;
        outcome.refused(&format!("a length of {length}"), Reason::RegistryError);
    }
    let huge: Change = |honest| {
        let kind = honest.kind();
        let headers = [
            ("Content-Type", kind),
            ("Content-Length", "9000000000000000000"),
        ];
        let mut acts = head(200, &headers);
        acts.push(Act::Stall);
        acts
    };
    spoil("said to be huge", huge, |_| Reason::LimitExceeded).await;
    let two: Change = |honest| {
        let length = honest.bytes().len().to_string();
        let kind = honest.kind();
        let headers = [
            ("Content-Type", kind),
            ("Content-Length", &length),
            ("Content-Length", "1"),
        ];
        let mut acts = head(200, &headers);
        acts.push(Act::Send(honest.bytes().to_vec()));
        acts
    };
    spoil("of two lengths", two, |_| Reason::RegistryError).await;
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let until_closed: Change = |honest| {
        let mut acts = head(200, &[("Content-Type", honest.kind())]);
        acts.push(Act::Forever(vec![b' '; 16 * 1024]));
        acts
    };
    spoil("without end", until_closed, |_| Reason::LimitExceeded).await;
    let chunked: Change = |honest| {
        let headers = [
            ("Content-Type", honest.kind()),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut acts = head(200, &headers);
        let chunk = [
            b"4000\r\n".to_vec(),
            vec![b' '; 16 * 1024],
            b"\r\n".to_vec(),
        ];
        acts.push(Act::Forever(chunk.concat()));
        acts
    };
    spoil("chunks without end", chunked, |_| Reason::LimitExceeded).await;
    // All of them at once: what is read is bounded in all.
    let everywhere = |honest: &Honest| {
        let kind = if matches!(honest.what, What::Referrers | What::FallbackIndex) {
            INDEX
        } else {
            MANIFEST
        };
        let mut acts = head(200, &[("Content-Type", kind)]);
        acts.push(Act::Forever(vec![b' '; 16 * 1024]));
        Some(acts)
    };
    let outcome = pull(Signed::Attachment, everywhere).await;
    outcome.refused("without end everywhere", Reason::LimitExceeded);
}

#[tokio::test]
async fn a_body_under_another_type_is_not_read() {
    for kind in [
        "text/html",
        "application/json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "\u{1}",
        "",
    ] {
        for (signed, spoiled) in DOCUMENTS {
            if spoiled == What::Blob {
                // A blob is what its digest says.
                continue;
            }
            let attack = move |honest: &Honest| {
                let serve = || reply(200, &[("Content-Type", kind)], honest.bytes());
                (honest.what == spoiled).then(serve)
            };
            let outcome = pull(signed, attack).await;
            let what = format!("{spoiled:?} as {kind:?}");
            let reason = match kind {
                // No header at all: HTTP has no such character.
                "\u{1}" => Reason::RegistryError,
                _ => unreadable(spoiled),
            };
            outcome.refused(&what, reason);
        }
    }
    // An index where a manifest is wanted, and the reverse.
    let swap: Change = |honest| {
        let other = if honest.kind() == INDEX {
            MANIFEST
        } else {
            INDEX
        };
        reply(200, &[("Content-Type", other)], honest.bytes())
    };
    for (signed, spoiled) in DOCUMENTS {
        if spoiled != What::Blob {
            let attack = move |honest: &Honest| (honest.what == spoiled).then(|| swap(honest));
            let what = format!("{spoiled:?} swapped");
            pull(signed, attack)
                .await
                .refused(&what, unreadable(spoiled));
        }
    }
}

/// How much the bomb would unpack to: more than the program may hold.
const BOMB_MIB: usize = 128;
/// Spaces, a thousand in a byte. Packed once.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(BOMB_MIB * 64, &[b' '; 16 * 1024]));

fn gzip(times: usize, unit: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..times {
        encoder.write_all(unit).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let bomb: Change = |honest| {
        let headers = [
            ("Content-Type", honest.kind()),
            ("Content-Encoding", "gzip"),
        ];
        reply(200, &headers, &BOMB)
    };
    assert!(BOMB.len() < BOMB_MIB * 2048, "{}", BOMB.len());
    spoil("a bomb", bomb, other_content).await;
    // Nor is what would be right.
    for encoding in ["gzip", "deflate, gzip", "x-gzip"] {
        for (signed, spoiled) in DOCUMENTS {
            let attack = move |honest: &Honest| {
                let headers = [
                    ("Content-Type", honest.kind()),
                    ("Content-Encoding", encoding),
                ];
                let serve = || reply(200, &headers, &gzip(1, honest.bytes()));
                (honest.what == spoiled).then(serve)
            };
            let what = format!("{spoiled:?} as {encoding}");
            pull(signed, attack)
                .await
                .refused(&what, other_content(spoiled));
        }
    }
}

/// The limits on bytes are far above what there is memory for here.
#[tokio::test]
async fn what_there_is_no_memory_for_is_refused_with_a_reason() {
    for data in [6, 8, 12, 16].map(|mib| mib * 1024) {
        for (signed, spoiled) in DOCUMENTS {
            let attack = move |honest: &Honest| {
                let large = || {
                    let spaces = vec![b' '; 4 * 1024 * 1024 - honest.bytes().len()];
                    let bytes = [honest.bytes(), &spaces].concat();
                    reply(200, &[("Content-Type", honest.kind())], &bytes)
                };
                (honest.what == spoiled).then(large)
            };
            let outcome = pull_within(Some(data), signed, attack).await;
            let what = format!("{data} KiB, {signed:?}, {spoiled:?}");
            outcome.refused(&what, Reason::LimitExceeded);
        }
    }
}
