//! What a signing certificate says.

use std::time::{Duration, SystemTime};

use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};
use spki::der::Encode as _;
use spki::der::asn1::Utf8StringRef;

use crate::keys::Kind;

/// The arc of Fulcio's extensions, `1.3.6.1.4.1.57264.1`
/// (<https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>).
const FULCIO: [u64; 8] = [1, 3, 6, 1, 4, 1, 57264, 1];
/// The issuer of the identity token as bare text.
const ISSUER_V1: u64 = 1;
/// The issuer of the identity token as a DER `UTF8String`.
const ISSUER_V2: u64 = 8;

/// From when until when a certificate holds. Certificates count whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub from: SystemTime,
    /// Its last moment.
    pub until: SystemTime,
}

impl Validity {
    /// The ten minutes around a moment: as long as a certificate of Fulcio holds.
    #[must_use]
    pub fn around(moment: SystemTime) -> Self {
        let half = Duration::from_mins(5);
        Self {
            from: moment - half,
            until: moment + half,
        }
    }

    /// A year to both sides of now, as a CA or a corporate certificate holds.
    #[must_use]
    pub fn long() -> Self {
        let now = SystemTime::now();
        let year = Duration::from_hours(365 * 24);
        Self {
            from: now - year,
            until: now + year,
        }
    }
}

/// A name in a certificate's subjectAltName.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    /// An e-mail address.
    Email(String),
    /// A URI, as Fulcio names workflows and workloads.
    Uri(String),
    /// A host name.
    Dns(String),
}

/// A signing certificate to be: for code signing, with no names yet.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What key is made for it.
    pub key: Kind,
    /// Its names.
    pub names: Vec<San>,
    /// When it holds.
    pub validity: Validity,
    /// What it may be used for.
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    /// Its further extensions, as object identifier and content.
    pub extensions: Vec<(Vec<u64>, Vec<u8>)>,
}

impl Leaf {
    /// A certificate over a P-256 key that holds now, as [`Validity::around`] says.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: Kind::P256,
            names: Vec::new(),
            validity: Validity::around(SystemTime::now()),
            usages: vec![ExtendedKeyUsagePurpose::CodeSigning],
            extensions: Vec::new(),
        }
    }

    /// With one more e-mail address.
    #[must_use]
    pub fn email(mut self, address: &str) -> Self {
        self.names.push(San::Email(address.to_owned()));
        self
    }

    /// With one more URI.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        self.names.push(San::Uri(uri.to_owned()));
        self
    }

    /// With one more host name.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        self.names.push(San::Dns(name.to_owned()));
        self
    }

    /// By the token of this issuer, said in both ways, as Fulcio does.
    #[must_use]
    pub fn issuer(self, url: &str) -> Self {
        self.issuer_v1(url).issuer_v2(url)
    }

    /// By the token of this issuer, said in the old way alone.
    #[must_use]
    pub fn issuer_v1(self, url: &str) -> Self {
        self.fulcio(ISSUER_V1, url.as_bytes().to_vec())
    }

    /// By the token of this issuer, said in the new way alone.
    #[must_use]
    pub fn issuer_v2(self, url: &str) -> Self {
        self.claim(ISSUER_V2, url)
    }

    /// With one of Fulcio's claims from 1.8 on, each a DER `UTF8String`: 9 is the build signer's
    /// URI, 12 the source repository's.
    #[must_use]
    pub fn claim(self, number: u64, text: &str) -> Self {
        let der = Utf8StringRef::new(text).and_then(|text| text.to_der());
        // Text of more than 256 MiB is no DER; it is left bare and no reader will take it.
        self.fulcio(number, der.unwrap_or_else(|_| text.as_bytes().to_vec()))
    }

    /// With any extension.
    #[must_use]
    pub fn extension(mut self, oid: &[u64], content: Vec<u8>) -> Self {
        self.extensions.push((oid.to_vec(), content));
        self
    }

    /// Valid at other times.
    #[must_use]
    pub fn valid(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// For other uses than code signing.
    #[must_use]
    pub fn usages(mut self, usages: Vec<ExtendedKeyUsagePurpose>) -> Self {
        self.usages = usages;
        self
    }

    /// Over another kind of key.
    #[must_use]
    pub fn key(mut self, kind: Kind) -> Self {
        self.key = kind;
        self
    }

    fn fulcio(self, number: u64, content: Vec<u8>) -> Self {
        let oid = [&FULCIO[..], &[number]].concat();
        self.extension(&oid, content)
    }

    pub(super) fn custom_extensions(&self) -> Vec<CustomExtension> {
        let extension = |(oid, content): &(Vec<u64>, Vec<u8>)| {
            CustomExtension::from_oid_content(oid, content.clone())
        };
        self.extensions.iter().map(extension).collect()
    }
}

impl Default for Leaf {
    fn default() -> Self {
        Self::new()
    }
}
