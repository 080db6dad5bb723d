//! Sigstore's own services, as processes on loopback: what signs keyless in the world outside.
//!
//! ```text
//!            token                 certificate, SCT
//! Issuer ───────────► cosign ◄────────────────────── Fulcio ──► CT log ┐
//! (people, workflows)   │ │ │                                          ├─ Trillian
//!                       │ │ └── entry, v1 ◄─ Rekor v1 ─────────────────┘
//!                       │ └──── entry, v2 ◄─ Rekor v2 (tiles)
//!                       └────── timestamp ◄─ timestamp authority
//! ```
//!
//! All are their published code. The OIDC issuer is ours ([`issuer`]), and two programs are small
//! ones around published packages (`tests/peers/sigstore`): Trillian with the CT log, since their
//! commands want a database where Trillian's storage in memory does, and the timestamp authority,
//! since its command insists on one port for its metrics.
//!
//! What they cannot do: Fulcio's certificates hold for ten minutes and nobody can turn the clock, so
//! an expired one comes from the tests' own [`crate::sigstore`], which [`Trust::with_authority`]
//! lets the same trust root believe in. Rekor v1 would also have its metrics on port 2112, which
//! cannot be set; the first that starts has it, and the others do without.

pub mod identity;
pub mod issuer;
mod servers;
pub mod signing;
pub mod trust;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

pub use self::identity::{Person, Token, Workflow};
pub use self::issuer::Issuer;
use self::servers::Server;
pub use self::signing::{Log, Way};
pub use self::trust::Trust;
use crate::cosign::{Cosign, Version};
use crate::folder::Folder;
use crate::keys::{Key, Kind};
use crate::ports;

/// All services, running.
#[derive(Debug)]
pub struct Services {
    // Fields are dropped in this order: the processes end before their folder is removed.
    fulcio: Server,
    rekor_v1: Server,
    rekor_v2: Server,
    timestamps: Server,
    trillian: Server,
    issuer: Issuer,
    trust: Trust,
    cosign2: Cosign,
    cosign3: Cosign,
    folder: Folder,
}

impl Services {
    /// Starts all of them and waits until each answers: about a second.
    pub async fn start() -> Result<Self> {
        let folder = Folder::new("sigstore")?;
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        let (ct, v1) = (Key::generate(Kind::P256)?, Key::generate(Kind::P256)?);
        // As the public instance has.
        let v2 = Key::generate(Kind::Ed25519)?;
        for (name, key) in [("ct", &ct), ("rekor-v1", &v1), ("rekor-v2", &v2)] {
            file(&format!("{name}.key"), &key.private_pem()?)?;
            file(&format!("{name}.pub"), &key.public_pem()?)?;
        }
        let issuer = Issuer::start().await?;
        file("fulcio.yaml", &identity::fulcio_config(&issuer)?)?;

        let ct_log = ports::free()?;
        let fulcio = async {
            let fulcio = servers::fulcio(&folder, ct_log).await?;
            let chain = fulcio.get("/api/v1/rootCert").await?;
            file("fulcio.pem", &chain)?;
            // The CT log takes Fulcio's certificates alone.
            let trillian = servers::trillian(&folder, ct_log).await?;
            let rekor_v1 = servers::rekor_v1(&folder, &trillian).await?;
            anyhow::Ok((fulcio, trillian, rekor_v1))
        };
        let timestamps = async {
            let timestamps = servers::timestamps(&folder).await?;
            let chain = timestamps.get("/api/v1/timestamp/certchain").await?;
            file("timestamps.pem", &chain)?;
            anyhow::Ok(timestamps)
        };
        let ((fulcio, trillian, rekor_v1), timestamps, rekor_v2) =
            tokio::try_join!(fulcio, timestamps, servers::rekor_v2(&folder))?;
        let (cosign2, cosign3) = (Cosign::new(Version::V2)?, Cosign::new(Version::V3)?);
        let trust = Trust::of(
            &cosign3,
            &folder,
            &fulcio,
            ct_log,
            &rekor_v1,
            &rekor_v2,
            &timestamps,
        )
        .await?;
        let services = Self {
            fulcio,
            rekor_v1,
            rekor_v2,
            timestamps,
            trillian,
            issuer,
            trust,
            cosign2,
            cosign3,
            folder,
        };
        services.write_signing_files()?;
        Ok(services)
    }

    /// Who vouches for people and workflows.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The trust root that believes all of them.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The cosign of a version, which these services' files are for.
    #[must_use]
    pub fn cosign(&self, version: Version) -> &Cosign {
        match version {
            Version::V2 => &self.cosign2,
            Version::V3 => &self.cosign3,
        }
    }

    /// Everything that they have logged, each under its name.
    #[must_use]
    pub fn log(&self) -> String {
        let servers = [
            &self.fulcio,
            &self.trillian,
            &self.rekor_v1,
            &self.rekor_v2,
            &self.timestamps,
        ];
        let logs = servers.map(|server| format!("--- {}\n{}", server.name(), server.log()));
        logs.join("\n")
    }
}
