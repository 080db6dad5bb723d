//! Connections that end, that stall, and headers that do not.

use futures::future::join_all;
use image_verifier::reason::Reason;

use crate::scene::{Honest, Signed, What, pull};
use crate::support::registry::MANIFEST;
use crate::wire::{Act, Script, head, reply};

/// Pulls a signed image whose signature manifest is answered like this.
async fn manifest(
    name: &str,
    reason: Reason,
    change: impl Fn(&Honest) -> Script + Send + Sync + 'static,
) {
    let attack = move |honest: &Honest| (honest.what == What::Manifest).then(|| change(honest));
    pull(Signed::Attachment, attack).await.refused(name, reason);
}

#[tokio::test]
async fn a_connection_that_is_reset_is_an_error_of_the_registry() {
    let error = Reason::RegistryError;
    manifest("before the head", error, |_| vec![Act::Reset]).await;
    let part = b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec();
    manifest("in the head", error, move |_| {
        vec![Act::Send(part.clone()), Act::Reset]
    })
    .await;
    let in_body = |honest: &Honest| {
        let mut acts = head(
            200,
            &[("Content-Type", honest.kind()), ("Content-Length", "9999")],
        );
        acts.extend([Act::Send(honest.bytes().to_vec()), Act::Reset]);
        acts
    };
    manifest("in the body", error, in_body).await;
    // With everything that would have been needed before it.
    let after = |honest: &Honest| {
        let headers = [
            ("Content-Type", honest.kind()),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut acts = head(200, &headers);
        acts.push(Act::Send(
            format!("{:x}\r\n", honest.bytes().len()).into_bytes(),
        ));
        acts.push(Act::Send([honest.bytes(), b"\r\n"].concat()));
        acts.push(Act::Reset);
        acts
    };
    manifest("before the last chunk", error, after).await;
    let outcome = pull(Signed::Bundle, |_| Some(vec![Act::Reset])).await;
    outcome.refused("always", error);
}

#[tokio::test]
async fn what_is_no_http_is_an_error_of_the_registry() {
    for garbage in [
        &b"\0\0\0\0\0\0\0\0"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b",
    ] {
        let what = format!("{:?}", String::from_utf8_lossy(garbage));
        // Two are good answers, with nothing in it, and with what is no JSON.
        let error = Reason::RegistryError;
        manifest(&what, error, |_| vec![Act::Send(garbage.to_vec())]).await;
    }
}

#[tokio::test]
async fn a_registry_that_takes_its_time_is_given_up_in_time() {
    let up = Reason::TimedOut;
    let never = manifest("never answers", up, |_| vec![Act::Stall]);
    let line = b"HTTP/1.1 200 OK\r\nX: xxxxxxxxxxxxxxxx\r\n".to_vec();
    let head_drips = manifest("drips its head", up, move |_| vec![Act::Drip(line.clone())]);
    let body_drips = manifest("drips its body", up, |honest| {
        let mut acts = head(200, &[("Content-Type", honest.kind())]);
        acts.push(Act::Drip(b" ".to_vec()));
        acts
    });
    // At once: each takes all the time that there is.
    tokio::join!(never, head_drips, body_drips);
}

#[tokio::test]
async fn every_part_may_drip_and_time_is_still_kept() {
    let drip = |honest: &Honest| {
        let kind = if honest.what == What::Referrers {
            crate::support::registry::INDEX
        } else {
            MANIFEST
        };
        let mut acts = head(200, &[("Content-Type", kind)]);
        acts.push(Act::Drip(b" ".to_vec()));
        acts
    };
    let parts = [What::Referrers, What::Referrer, What::Blob];
    let each = parts.map(|part| async move {
        let attack = move |honest: &Honest| (honest.what == part).then(|| drip(honest));
        let outcome = pull(Signed::Bundle, attack).await;
        outcome.refused(&format!("{part:?} drips"), Reason::TimedOut);
    });
    let all = async {
        let attack = move |honest: &Honest| Some(drip(honest));
        let outcome = pull(Signed::Bundle, attack).await;
        outcome.refused("all drip", Reason::TimedOut);
    };
    tokio::join!(join_all(each), all);
}

#[tokio::test]
async fn interim_answers_without_end_are_given_up() {
    let interim = [
        &b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"[..],
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ];
    let each = interim.map(|interim| async move {
        let what = String::from_utf8_lossy(interim);
        let forever = |_: &Honest| vec![Act::Forever(interim.to_vec())];
        manifest(&what, Reason::TimedOut, forever).await;
    });
    join_all(each).await;
}

#[tokio::test]
async fn headers_are_bounded() {
    let error = Reason::RegistryError;
    let start = b"HTTP/1.1 200 OK\r\n".to_vec();
    let endless = |unit: &[u8]| {
        let acts = vec![Act::Send(start.clone()), Act::Forever(unit.to_vec())];
        move |_: &Honest| acts.clone()
    };
    manifest("one header without end", error, endless(&[b'x'; 16 * 1024])).await;
    manifest("headers without end", error, endless(b"X-A: b\r\n")).await;
    let large = |honest: &Honest| {
        let value = "x".repeat(4 * 1024 * 1024);
        let headers = [("Content-Type", honest.kind()), ("X-Large", &value)];
        reply(200, &headers, honest.bytes())
    };
    manifest("a header of 4 MiB", error, large).await;
    let many = |honest: &Honest| {
        let mut headers = vec![("X-Many", "x"); 5_000];
        headers.push(("Content-Type", honest.kind()));
        reply(200, &headers, honest.bytes())
    };
    manifest("5000 headers", error, many).await;
    // In the trailers and in the extensions of chunks, too.
    let chunked = |honest: &Honest, then: Act| {
        let headers = [
            ("Content-Type", honest.kind()),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut acts = head(200, &headers);
        acts.push(then);
        acts
    };
    let extension = move |honest: &Honest| {
        let mut acts = chunked(honest, Act::Send(b"5;".to_vec()));
        acts.push(Act::Forever(vec![b'x'; 16 * 1024]));
        acts
    };
    manifest("an extension without end", error, extension).await;
    let trailers = move |honest: &Honest| {
        let mut acts = chunked(honest, Act::Send(b"0\r\n".to_vec()));
        acts.push(Act::Forever(b"X-A: b\r\n".to_vec()));
        acts
    };
    manifest("trailers without end", error, trailers).await;
}
