//! The operator's TUF client against a repository that goes wrong in every way.
//!
//! Whatever happens, what was refreshed last stays good, also for the next process: [`Lab::refused`]
//! looks at both each time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod attacks;
mod damage;
mod index;
mod kept;
mod network;

use std::time::Duration;

use anyhow::Result;
use e2e::keys::{Key, Kind};
use e2e::sigstore::Authority;
use e2e::tuf_repository::{Role, Server, TufRepository};
use jiff::{SignedDuration, Timestamp};
use operator::tuf::{Failure, Http, Limits, Origin, State, Why, certificates, client, refresh};
use policy::trust::TrustRoot;

const TARGET: &str = "trusted_root.json";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A certificate authority and a log of its own.
fn trusted_root() -> String {
    let authority = Authority::root("Fulcio").unwrap().pem();
    let log = Key::generate(Kind::P256).unwrap().public_pem().unwrap();
    let root = TrustRoot::from_pem(Some(&authority), &[log], &[], None);
    root.unwrap().to_trusted_root_json()
}

/// A repository behind https, and a client that follows it.
struct Lab {
    repository: TufRepository,
    server: Server,
    origin: Origin,
    ca: String,
    limits: Limits,
    now: Timestamp,
    state: Option<State>,
}

impl Lab {
    async fn start() -> Result<Self> {
        // One that was installed before is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let now = Timestamp::from_second(1_800_000_000)?;
        let repository = TufRepository::new(TARGET, trusted_root().as_bytes(), now)?;
        let server = Server::start(&repository).await?;
        let origin = Origin {
            mirror: server.url(),
            root: repository.root_json(1)?,
            target: TARGET.to_owned(),
            public_good: false,
        };
        Ok(Self {
            ca: server.ca().to_owned(),
            repository,
            server,
            origin,
            limits: Limits::default(),
            now,
            state: None,
        })
    }

    /// A lab whose client has refreshed once.
    async fn refreshed() -> Result<Self> {
        let mut lab = Self::start().await?;
        lab.good().await;
        Ok(lab)
    }

    async fn refresh(&mut self) -> Result<(), Failure> {
        let authorities = certificates(self.ca.as_bytes()).unwrap();
        let client = client(&authorities, self.limits)?;
        let http = Http::new(client, &self.origin.mirror)?;
        let before = self.state.as_ref();
        let deadline = self.limits.refresh;
        let answer = refresh(http, &self.origin, before, self.now, deadline).await;
        self.state = Some(State::after(before, &self.origin, &answer));
        answer.result
    }

    /// A new process knows what was kept.
    fn restart(&mut self) {
        let text = self.state.as_ref().map(State::to_text);
        self.state = text.and_then(|text| State::read(&text, &self.origin));
    }

    /// The digest of the content that is in force.
    fn digest(&self) -> Option<String> {
        let content = self.state.as_ref()?.verified(&self.origin).ok()?;
        Some(content.parsed.root.digest().to_string())
    }

    /// A refresh succeeds, and what the repository has is in force, also for the next process.
    async fn good(&mut self) {
        self.refresh().await.unwrap();
        let text = std::str::from_utf8(&self.repository.content).unwrap();
        let root = TrustRoot::from_trusted_root_json(text).unwrap().root;
        let expected = Some(root.digest().to_string());
        assert_eq!(self.digest(), expected);
        self.restart();
        assert_eq!(self.digest(), expected);
        let state = self.state.as_ref().unwrap();
        assert_eq!(state.refreshed(), Some(self.now));
    }

    /// A refresh fails for this reason, twice: the second time in a new process. What was in force
    /// stays so. Returns the message.
    async fn refused(&mut self, why: Why) -> String {
        let before = self.digest();
        let refreshed = self.state.as_ref().and_then(State::refreshed);
        let failure = self.refresh().await.unwrap_err();
        assert_eq!(failure.why, why, "{}", failure.message);
        assert_eq!(self.digest(), before);
        self.restart();
        let again = self.refresh().await.unwrap_err();
        assert_eq!(again, failure, "the same words each time");
        assert_eq!(self.digest(), before);
        let after = self.state.as_ref().and_then(State::refreshed);
        assert_eq!(after, refreshed);
        failure.message
    }
}

#[tokio::test]
async fn a_target_is_fetched_and_only_what_is_new_is_fetched_again() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.good().await;
    let path = lab.repository.target_path();
    let first = [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
        &path,
    ];
    assert_eq!(lab.server.asked(), first);
    let state = lab.state.clone();
    lab.good().await;
    assert_eq!(lab.server.asked(), ["2.root.json", "timestamp.json"]);
    assert_eq!(lab.state, state.clone(), "at the same time nothing is new");

    lab.now += DAY;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    let path = lab.repository.target_path();
    let then = [
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
        &path,
    ];
    assert_eq!(lab.server.asked(), then);
    let grown = lab.state.unwrap().revision();
    assert_eq!(grown, state.unwrap().revision() + 1);
    Ok(())
}

#[tokio::test]
async fn the_root_rotates_over_several_versions() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.rotate(Role::Root)?;
    lab.repository.rotate(Role::Root)?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.server.asked();
    lab.good().await;
    let asked = lab.server.asked();
    assert_eq!(asked[..3], ["2.root.json", "3.root.json", "4.root.json"]);
    // The next process goes on from there.
    lab.good().await;
    assert_eq!(lab.server.asked(), ["4.root.json", "timestamp.json"]);
    // A new client walks the whole way.
    lab.state = None;
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn the_keys_of_every_role_rotate() -> Result<()> {
    for role in Role::ALL {
        let mut lab = Lab::refreshed().await?;
        lab.repository.rotate(role)?;
        lab.repository.publish_target(trusted_root().as_bytes())?;
        lab.good().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_owner_whose_keys_were_abused_begins_lower_again() -> Result<()> {
    // Somebody with the keys has published a version that nobody could ever follow.
    let mut lab = Lab::start().await?;
    for role in [Role::Timestamp, Role::Snapshot] {
        lab.repository.versions.insert(role, 1_000_000);
    }
    lab.repository.publish()?;
    lab.good().await;
    for role in [Role::Timestamp, Role::Snapshot] {
        lab.repository.rotate(role)?;
        lab.repository.versions.insert(role, 2);
    }
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    Ok(())
}

#[test]
fn every_reason_says_what_to_do_and_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<&str> = Why::ALL.map(Why::as_str).into();
    assert_eq!(words.len(), Why::ALL.len());
    let docs = std::fs::read_to_string(xtask::cache::workspace().join("docs/trust-roots.md"));
    let docs = docs.unwrap();
    for why in Why::ALL {
        assert!(docs.contains(&format!("| `{}` |", why.as_str())), "{why:?}");
        assert!(!why.advice().is_empty());
    }
}

/// Limits that a test can wait for.
fn short() -> Limits {
    Limits {
        file: Duration::from_millis(500),
        ..Limits::default()
    }
}
