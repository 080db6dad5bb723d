//! Who signs: in a case's files they stand as `${KEY_A}`, and twice somebody takes that place.
//!
//! What is expected holds the public halves in `tests/golden/keys`, always the same; the others were
//! thrown away, and the certificates are those of `policy/testdata`. What is judged holds those of
//! [`Signers`], who are made anew for each run and can sign.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::Image;
use e2e::keys::{Key, Kind};
use e2e::sigstore::{Authority, Leaf, Log, Payload, Signature, Signer};

/// PEM by name.
pub(crate) type Pems = BTreeMap<String, String>;

/// The issuer of every keyless signature, unless it is said otherwise.
const ISSUER: &str = "https://accounts.example.com";

/// The public halves that expected files hold.
pub(crate) fn fixed(folder: &Path) -> Result<Pems> {
    let mut pems = Pems::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        pems.insert(name.into_owned(), fs::read_to_string(&path)?);
    }
    Ok(pems)
}

/// A text with PEM in the place of `${NAME}` or `${NAME OTHER}`, as a JSON string on the same line;
/// for `${base64 NAME}` that is encoded once more, as policy.json wants it.
pub(crate) fn fill(text: &str, pems: &Pems) -> Result<String> {
    let mut filled = String::new();
    let mut parts = text.split("${");
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (names, rest) = part.split_once('}').context("`${` without `}`")?;
        let mut pem = String::new();
        let encoded = names.strip_prefix("base64 ");
        for name in encoded.unwrap_or(names).split(' ') {
            pem += pems
                .get(name)
                .with_context(|| format!("no key is called {name}"))?;
        }
        if encoded.is_some() {
            pem = STANDARD.encode(pem);
        }
        filled += &serde_json::Value::from(pem).to_string();
        filled.push_str(rest);
    }
    Ok(filled)
}

/// Everybody who can sign, take down, or certify.
pub(crate) struct Signers {
    keys: BTreeMap<String, Signer>,
    logs: BTreeMap<String, Log>,
    fulcio: Authority,
    company: Authority,
    below_company: Authority,
}

impl Signers {
    /// New ones for all of these names.
    pub(crate) fn generate(names: &Pems) -> Result<Self> {
        let company = Authority::root("company")?;
        let mut signers = Self {
            keys: BTreeMap::new(),
            logs: BTreeMap::new(),
            fulcio: Authority::root("fulcio")?,
            below_company: company.intermediate("below")?,
            company,
        };
        for name in names.keys() {
            if name.starts_with("KEY_") {
                let key = Signer::generate_kind(kind(name))?;
                signers.keys.insert(name.clone(), key);
            } else if name.starts_with("LOG_") {
                let log = Log::with_key(Key::generate(kind(name))?)?;
                signers.logs.insert(name.clone(), log);
            }
        }
        Ok(signers)
    }

    /// Their public halves.
    pub(crate) fn pems(&self) -> Result<Pems> {
        let mut pems = Pems::from([
            ("FULCIO".to_owned(), self.fulcio.pem()),
            ("COMPANY".to_owned(), self.company.pem()),
            ("BELOW_COMPANY".to_owned(), self.below_company.pem()),
        ]);
        for (name, key) in &self.keys {
            pems.insert(name.clone(), key.public_pem()?);
        }
        for (name, log) in &self.logs {
            pems.insert(name.clone(), log.public_pem()?);
        }
        Ok(pems)
    }

    /// A signature of an image, in a few words: `KEY_A`, or `FULCIO me@example.com`, then as
    /// needed `from ISSUER`, `dns HOST`, `in LOG`, `as NAME`.
    pub(crate) fn sign(&self, words: &str, name: &str, image: &Image) -> Result<Signature> {
        let mut all = words.split(' ');
        let who = all.next().unwrap_or_default();
        let mut leaf = Leaf::new();
        let (mut log, mut name, mut issuer) = (None, name, ISSUER);
        while let Some(word) = all.next() {
            if word.contains('@') {
                leaf = leaf.email(word);
                continue;
            }
            let value = all.next().with_context(|| format!("{word:?} what?"))?;
            match word {
                "from" => issuer = value,
                "dns" => leaf = leaf.dns(value),
                "uri" => leaf = leaf.uri(value),
                "in" => log = Some(self.logs.get(value).context("no such log")?),
                "as" => name = value,
                _ => bail!("{word:?} is no word of a signature"),
            }
        }
        let mut payload = Payload::new(name, &image.digest);
        // CRI-O demands an object here, see the differences that tests/judge names.
        payload.optional = serde_json::json!({});
        let signature = match who {
            "FULCIO" => self.fulcio.issue(&leaf.issuer(issuer))?.sign(&payload)?,
            "COMPANY" => self.company.issue(&leaf)?.sign(&payload)?,
            "BELOW_COMPANY" => self.below_company.issue(&leaf)?.sign(&payload)?,
            key => {
                let key = self.keys.get(key).with_context(|| format!("no {key}"))?;
                key.sign(&payload)?
            }
        };
        match log {
            Some(log) => signature.logged(log, SystemTime::now()),
            None => Ok(signature),
        }
    }
}

/// By its name.
fn kind(name: &str) -> Kind {
    match name.rsplit('_').next() {
        Some("P384") => Kind::P384,
        Some("ED25519") => Kind::Ed25519,
        Some("RSA") => Kind::Rsa2048,
        _ => Kind::P256,
    }
}
