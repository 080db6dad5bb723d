//! The proof: the registry, for as long as it takes, and two pulls.

use std::time::Duration;

use aws_lc_rs::rand;
use node_runtime::probe::{self, Doubt, Nonce, Proof, Registry};

use crate::agent::Prove;
use crate::live::{self, Endpoint, Kind};

/// How long one pull may take. The verifier has 8 s of containerd's 10.
const PULL: Duration = Duration::from_secs(30);

/// Makes the proof.
pub(super) async fn prove(endpoint: &Endpoint, prove: &Prove) -> Proof {
    let kind = match prove.kind {
        Kind::Containerd => probe::Kind::Containerd,
        Kind::Crio => probe::Kind::Crio,
    };
    let mut random = [0; 16];
    if rand::fill(&mut random).is_err() {
        let why = Doubt::NoRegistry("the system has no random numbers".to_owned());
        return Proof::Unknown { why };
    }
    let mut registry = match Registry::bind(&prove.identity, kind).await {
        Ok(registry) => registry,
        Err(error) => return Proof::from(&error),
    };
    let client = live::client(endpoint);
    let pull = |image: String| {
        let client = client.clone();
        async move { client.pull(&image, PULL).await.map(drop) }
    };
    let nonce = Nonce::new(random);
    let observed = probe::run(&mut registry, pull, &prove.subject.bundle, &nonce, PULL).await;
    probe::judge(kind, &observed)
}
