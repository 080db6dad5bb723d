//! A TUF repository of our own, with real keys and signatures, and everything that can be wrong with
//! one.
//!
//! [`TufRepository`] makes the files, [`Server`] serves them over https. What a test changes by hand
//! ([`TufRepository::put`]) is served as it is: nothing is made right behind its back.

mod canonical;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::keys::{Key, Kind};

pub use canonical::canonical;
pub use server::{Answer, Server};

/// The files that are served, by their paths.
pub(crate) type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// The roles that are there in every repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Names the keys of all.
    Root,
    /// Names the snapshot.
    Timestamp,
    /// Names the targets' metadata.
    Snapshot,
    /// Names the targets.
    Targets,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];

    /// As files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }
}

/// A repository with consistent snapshots and one target.
#[derive(Debug)]
pub struct TufRepository {
    keys: BTreeMap<Role, Vec<Key>>,
    /// The version of each role that is published next. Tests may turn it back.
    pub versions: BTreeMap<Role, u64>,
    /// When what is published next expires.
    pub expires: BTreeMap<Role, Timestamp>,
    /// How many useless bytes what is published next has.
    pub padding: BTreeMap<Role, usize>,
    /// The name of the target.
    pub target: String,
    /// What it holds.
    pub content: Vec<u8>,
    /// The files of roles below the targets.
    below: BTreeSet<String>,
    files: Files,
}

impl TufRepository {
    /// A published repository whose metadata all end a year after `now`.
    pub fn new(target: &str, content: &[u8], now: Timestamp) -> Result<Self> {
        let mut keys = BTreeMap::new();
        let (mut versions, mut expires) = (BTreeMap::new(), BTreeMap::new());
        for role in Role::ALL {
            keys.insert(role, vec![Key::generate(Kind::P256)?]);
            versions.insert(role, 1);
            expires.insert(role, now + SignedDuration::from_hours(365 * 24));
        }
        let mut repository = Self {
            keys,
            versions,
            expires,
            padding: BTreeMap::new(),
            target: target.to_owned(),
            content: content.to_vec(),
            below: BTreeSet::new(),
            files: Files::default(),
        };
        let root = repository.root()?;
        repository.publish_root(&root, &[])?;
        repository.publish()?;
        Ok(repository)
    }

    /// The files that are served.
    pub(crate) fn files(&self) -> Files {
        Arc::clone(&self.files)
    }

    /// Serves this file as it is.
    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(name.to_owned(), bytes.into());
    }

    /// Serves this file no more.
    pub fn remove(&self, name: &str) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.remove(name);
    }

    /// What is served by this name.
    pub fn file(&self, name: &str) -> Result<Vec<u8>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files
            .get(name)
            .cloned()
            .with_context(|| format!("no file {name}"))
    }

    /// All files as they are served now.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.clone()
    }

    /// Serves what was served then.
    pub fn put_back(&self, all: BTreeMap<String, Vec<u8>>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        *files = all;
    }

    /// The root of some version, as a client begins with it.
    pub fn root_json(&self, version: u64) -> Result<String> {
        Ok(String::from_utf8(
            self.file(&format!("{version}.root.json"))?,
        )?)
    }

    /// The path that the target is served by.
    #[must_use]
    pub fn target_path(&self) -> String {
        format!("targets/{}.{}", sha256(&self.content), self.target)
    }

    /// Another target.
    pub fn publish_target(&mut self, content: &[u8]) -> Result<()> {
        self.content = content.to_vec();
        self.publish()
    }

    /// Signs the target, the targets, the snapshot and the timestamp, each in its next version.
    pub fn publish(&mut self) -> Result<()> {
        self.put(&self.target_path(), self.content.clone());
        self.publish_targets()?;
        self.publish_snapshot()?;
        self.publish_timestamp()
    }

    /// The targets alone.
    pub fn publish_targets(&mut self) -> Result<()> {
        let mut signed = self.signed(Role::Targets);
        signed["targets"] = self.listed();
        self.publish_versioned(Role::Targets, &signed)
    }

    fn listed(&self) -> Value {
        let hashes = json!({ "sha256": sha256(&self.content) });
        json!({ self.target.clone(): { "length": self.content.len(), "hashes": hashes } })
    }

    /// Another target, which a role below the targets lists, with a key of its own.
    pub fn publish_delegated(&mut self, role: &str, content: &[u8]) -> Result<()> {
        self.content = content.to_vec();
        self.put(&self.target_path(), self.content.clone());
        let key = Key::generate(Kind::P256)?;
        let (id, declared) = declared(&key)?;
        let mut below = self.signed(Role::Targets);
        below["version"] = 1.into();
        below["targets"] = self.listed();
        self.put(&format!("1.{role}.json"), envelope(&below, &[&key])?);
        self.below.insert(format!("{role}.json"));
        let mut signed = self.signed(Role::Targets);
        signed["targets"] = json!({});
        let delegated = json!({
            "name": role, "keyids": [id], "threshold": 1, "terminating": true, "paths": ["*"],
        });
        signed["delegations"] = json!({ "keys": { id: declared }, "roles": [delegated] });
        self.publish_versioned(Role::Targets, &signed)?;
        self.publish_snapshot()?;
        self.publish_timestamp()
    }

    /// The snapshot of the targets published last.
    pub fn publish_snapshot(&mut self) -> Result<()> {
        let mut signed = self.signed(Role::Snapshot);
        let targets = self.versions[&Role::Targets] - 1;
        signed["meta"] = json!({ "targets.json": { "version": targets } });
        for name in &self.below {
            signed["meta"][name] = json!({ "version": 1 });
        }
        self.publish_versioned(Role::Snapshot, &signed)
    }

    /// The timestamp of the snapshot published last.
    pub fn publish_timestamp(&mut self) -> Result<()> {
        let version = self.versions[&Role::Snapshot] - 1;
        let bytes = self.file(&format!("{version}.snapshot.json"))?;
        let mut signed = self.signed(Role::Timestamp);
        let meta = json!({ "version": version, "length": bytes.len(), "hashes": { "sha256": sha256(&bytes) } });
        signed["meta"] = json!({ "snapshot.json": meta });
        let bytes = self.sign(Role::Timestamp, &signed)?;
        self.put("timestamp.json", bytes);
        self.count(Role::Timestamp);
        Ok(())
    }

    fn publish_versioned(&mut self, role: Role, signed: &Value) -> Result<()> {
        let bytes = self.sign(role, signed)?;
        self.put(
            &format!("{}.{}.json", self.versions[&role], role.name()),
            bytes,
        );
        self.count(role);
        Ok(())
    }

    fn count(&mut self, role: Role) {
        *self.versions.entry(role).or_insert(1) += 1;
    }

    /// Gives the role a new key, in the next root, which the old keys of the root sign as well.
    pub fn rotate(&mut self, role: Role) -> Result<()> {
        let old = self.keys.insert(role, vec![Key::generate(Kind::P256)?]);
        let signers = match role {
            Role::Root => old.unwrap_or_default(),
            _ => Vec::new(),
        };
        let root = self.root()?;
        self.publish_root(&root, &signers)
    }

    /// Gives the root a new key that the old one has not signed for.
    pub fn usurp_root(&mut self) -> Result<()> {
        self.keys
            .insert(Role::Root, vec![Key::generate(Kind::P256)?]);
        let root = self.root()?;
        self.publish_root(&root, &[])
    }

    /// Gives the role a new key that the root does not name.
    pub fn usurp(&mut self, role: Role) -> Result<()> {
        self.keys.insert(role, vec![Key::generate(Kind::P256)?]);
        Ok(())
    }

    /// The same keys in the next root.
    pub fn renew_root(&mut self) -> Result<()> {
        let root = self.root()?;
        self.publish_root(&root, &[])
    }

    fn root(&self) -> Result<Value> {
        let mut signed = self.signed(Role::Root);
        let (mut keys, mut roles) = (serde_json::Map::new(), serde_json::Map::new());
        for role in Role::ALL {
            let mut ids = Vec::new();
            for key in &self.keys[&role] {
                let (id, value) = declared(key)?;
                keys.insert(id.clone(), value);
                ids.push(id);
            }
            let role_keys = json!({ "keyids": ids, "threshold": 1 });
            roles.insert(role.name().to_owned(), role_keys);
        }
        signed["keys"] = keys.into();
        signed["roles"] = roles.into();
        signed["consistent_snapshot"] = true.into();
        Ok(signed)
    }

    fn publish_root(&mut self, signed: &Value, also: &[Key]) -> Result<()> {
        let all: Vec<&Key> = self.keys[&Role::Root].iter().chain(also).collect();
        let bytes = envelope(signed, &all)?;
        self.put(&format!("{}.root.json", self.versions[&Role::Root]), bytes);
        self.count(Role::Root);
        Ok(())
    }

    /// What every role has, in the version that is published next.
    #[must_use]
    pub fn signed(&self, role: Role) -> Value {
        let second = self.expires[&role].as_second();
        // Whole seconds, as the specification has it.
        let expires = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        let mut signed = json!({
            "_type": role.name(),
            "spec_version": "1.0.31",
            "version": self.versions[&role],
            "expires": expires.to_string(),
        });
        if let Some(count) = self.padding.get(&role) {
            signed["x-padding"] = "x".repeat(*count).into();
        }
        signed
    }

    /// The file with the signatures of the role's keys.
    pub fn sign(&self, role: Role, signed: &Value) -> Result<Vec<u8>> {
        let keys: Vec<&Key> = self.keys[&role].iter().collect();
        envelope(signed, &keys)
    }
}

fn envelope(signed: &Value, keys: &[&Key]) -> Result<Vec<u8>> {
    let bytes = canonical(signed);
    let signatures = keys.iter().map(|key| {
        let sig = hex::encode(key.sign(&bytes)?);
        Ok(json!({ "keyid": declared(key)?.0, "sig": sig }))
    });
    let signatures = signatures.collect::<Result<Vec<Value>>>()?;
    let envelope = json!({ "signed": signed, "signatures": signatures });
    Ok(serde_json::to_vec_pretty(&envelope)?)
}

/// The key as a root has it, with its id.
fn declared(key: &Key) -> Result<(String, Value)> {
    let value = json!({
        "keytype": "ecdsa",
        "scheme": "ecdsa-sha2-nistp256",
        "keyval": { "public": key.public_pem()? },
    });
    Ok((sha256(&canonical(&value)), value))
}

/// In hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}
