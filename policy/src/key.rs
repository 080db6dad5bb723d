//! Public keys that authorities sign with.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spki::der::asn1::{Any, AnyRef, UintRef};
use spki::der::{Decode, Encode};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned};

use crate::digest::Digest;
use crate::pem::{self, PemError};

/// The most keys that one authority may list (for rotation, two are enough).
pub const MAX_KEYS: usize = 16;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The kinds of key that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// RSA.
    Rsa {
        /// The modulus' length: 2048 to 4096.
        bits: u32,
    },
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
        }
    }
}

/// Why a text holds no acceptable public keys. No variant carries any of the text: it may be a
/// private key put in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is no list of PEM blocks.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A private key.
    #[error(
        "line {line} begins a PRIVATE key. Remove it here, treat it as leaked, and give the public key (`cosign public-key --key …` or `openssl pkey -pubout`)"
    )]
    PrivateKey {
        /// Counted from 1.
        line: usize,
    },
    /// A certificate.
    #[error(
        "line {line} begins a certificate, not a public key: use a `certificate` authority, or its key (`openssl x509 -pubkey -noout`)"
    )]
    Certificate {
        /// Counted from 1.
        line: usize,
    },
    /// Some other PEM block.
    #[error("line {line} begins a PEM block that is no `PUBLIC KEY`")]
    Label {
        /// Counted from 1.
        line: usize,
    },
    /// A PKCS#1 block.
    #[error(
        "line {line} begins a PKCS#1 `RSA PUBLIC KEY`: convert it with `openssl rsa -RSAPublicKey_in -pubout`"
    )]
    Pkcs1 {
        /// Counted from 1.
        line: usize,
    },
    /// The block's content is no `SubjectPublicKeyInfo`, or no valid key of its algorithm.
    #[error(
        "the PEM block that begins on line {line} holds no valid public key: its markers are right, its content is not"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// An algorithm or curve that is not accepted.
    #[error(
        "the key on line {line} has an algorithm that is not accepted: use ECDSA P-256, P-384 or P-521, Ed25519, or RSA 2048 to 4096"
    )]
    Algorithm {
        /// Counted from 1.
        line: usize,
    },
    /// RSA of a size that is not accepted.
    #[error("the RSA key on line {line} has {bits} bits: 2048 to 4096 are accepted")]
    RsaSize {
        /// Counted from 1.
        line: usize,
        /// What it has.
        bits: usize,
    },
    /// More keys than the limit.
    #[error("{0} keys: at most {MAX_KEYS} are accepted in one authority")]
    TooMany(usize),
}

/// A public key that was parsed and checked, down to the curve point.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    spki: Vec<u8>,
    raw: Vec<u8>,
    kind: KeyKind,
}

impl PublicKey {
    /// Reads one or more PEM `PUBLIC KEY` blocks. All must be acceptable. The result is sorted and
    /// free of duplicates.
    pub fn parse_pem(text: &str) -> Result<Vec<Self>, KeyError> {
        let blocks = pem::parse(text)?;
        if blocks.len() > MAX_KEYS {
            return Err(KeyError::TooMany(blocks.len()));
        }
        let mut keys = blocks
            .iter()
            .map(Self::from_block)
            .collect::<Result<Vec<_>, _>>()?;
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    fn from_block(block: &pem::Block) -> Result<Self, KeyError> {
        let line = block.line;
        match block.label.as_str() {
            "PUBLIC KEY" => Self::from_spki(&block.contents, line),
            "RSA PUBLIC KEY" => Err(KeyError::Pkcs1 { line }),
            "CERTIFICATE" => Err(KeyError::Certificate { line }),
            label if label.contains("PRIVATE KEY") => Err(KeyError::PrivateKey { line }),
            _ => Err(KeyError::Label { line }),
        }
    }

    fn from_spki(der: &[u8], line: usize) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed { line };
        let spki = SubjectPublicKeyInfoOwned::from_der(der).map_err(|_| malformed.clone())?;
        let raw = spki
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| malformed.clone())?;
        let oid = spki.algorithm.oid;
        let parameters = spki.algorithm.parameters.as_ref();
        // One encoding per key (RFC 3279 and RFC 8410), or the same key written in two ways would
        // count as two signers.
        let expected = if oid == RSA_ENCRYPTION {
            parameters.is_some_and(Any::is_null)
        } else {
            parameters.is_some() == (oid == ID_EC_PUBLIC_KEY)
        };
        let (kind, algorithm): (KeyKind, &'static dyn VerificationAlgorithm) =
            if oid == ID_EC_PUBLIC_KEY {
                let curve = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
                match curve.ok_or_else(|| malformed.clone())? {
                    SECP256R1 => (KeyKind::EcdsaP256, &ECDSA_P256_SHA256_ASN1),
                    SECP384R1 => (KeyKind::EcdsaP384, &ECDSA_P384_SHA384_ASN1),
                    SECP521R1 => (KeyKind::EcdsaP521, &ECDSA_P521_SHA512_ASN1),
                    _ => return Err(KeyError::Algorithm { line }),
                }
            } else if oid == ID_ED25519 {
                (KeyKind::Ed25519, &ED25519)
            } else if oid == RSA_ENCRYPTION {
                let bits = rsa_bits(raw).ok_or_else(|| malformed.clone())?;
                let size = u32::try_from(bits)
                    .ok()
                    .filter(|bits| (2048..=4096).contains(bits));
                let bits = size.ok_or(KeyError::RsaSize { line, bits })?;
                (KeyKind::Rsa { bits }, &RSA_PKCS1_2048_8192_SHA256)
            } else {
                return Err(KeyError::Algorithm { line });
            };
        // Checks that the point is on its curve, or that the modulus and exponent are sound.
        ParsedPublicKey::new(algorithm, raw).map_err(|_| malformed.clone())?;
        if !expected {
            return Err(malformed);
        }
        let canonical = spki.to_der().map_err(|_| malformed.clone())?;
        if canonical != der || (oid == ID_EC_PUBLIC_KEY && raw.first() != Some(&4)) {
            return Err(malformed);
        }
        Ok(Self {
            spki: canonical,
            raw: raw.to_vec(),
            kind,
        })
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The content of the key's BIT STRING: the uncompressed curve point, the 32 bytes of Ed25519,
    /// or the PKCS#1 `RSAPublicKey`.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 of the DER `SubjectPublicKeyInfo`: the name of the key in messages, and the same
    /// value that `openssl pkey -pubin -outform der | sha256sum` prints.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// The key as one PEM block with Unix line ends.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
        ::pem::encode_config(&::pem::Pem::new("PUBLIC KEY", self.spki.clone()), config)
    }
}

/// The length of the modulus of a PKCS#1 `RSAPublicKey` (RFC 8017, A.1.1).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let sequence = AnyRef::from_der(der).ok()?;
    let modulus = sequence
        .sequence(|reader| {
            let modulus = UintRef::decode(reader)?;
            UintRef::decode(reader).map(|_exponent| modulus)
        })
        .ok()?;
    let bytes = modulus.as_bytes();
    let unused = bytes.first()?.leading_zeros() as usize;
    Some(bytes.len() * 8 - unused)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.kind, self.fingerprint())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_pem())
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut keys = Self::parse_pem(&text).map_err(serde::de::Error::custom)?;
        match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => Ok(key),
            _ => Err(serde::de::Error::custom(
                "exactly one public key is expected",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    };

    use super::*;

    fn to_pem(label: &str, der: &[u8]) -> String {
        ::pem::encode(&::pem::Pem::new(label, der.to_vec()))
    }

    fn p256() -> Vec<u8> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        AsDer::<aws_lc_rs::encoding::PublicKeyX509Der>::as_der(pair.public_key())
            .unwrap()
            .as_ref()
            .to_vec()
    }

    fn rsa(size: aws_lc_rs::rsa::KeySize) -> Vec<u8> {
        let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
        AsDer::<aws_lc_rs::encoding::PublicKeyX509Der>::as_der(pair.public_key())
            .unwrap()
            .as_ref()
            .to_vec()
    }

    fn kind(der: &[u8]) -> Result<KeyKind, KeyError> {
        PublicKey::parse_pem(&to_pem("PUBLIC KEY", der)).map(|keys| keys[0].kind())
    }

    #[test]
    fn every_accepted_kind_is_recognised() {
        assert_eq!(kind(&p256()), Ok(KeyKind::EcdsaP256));
        for (signing, expected) in [
            (&ECDSA_P384_SHA384_ASN1_SIGNING, KeyKind::EcdsaP384),
            (&ECDSA_P521_SHA512_ASN1_SIGNING, KeyKind::EcdsaP521),
        ] {
            let pair = EcdsaKeyPair::generate(signing).unwrap();
            let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
                pair.public_key().as_der().unwrap();
            assert_eq!(kind(der.as_ref()), Ok(expected));
        }
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        assert_eq!(kind(der.as_ref()), Ok(KeyKind::Ed25519));
        assert_eq!(
            kind(&rsa(aws_lc_rs::rsa::KeySize::Rsa2048)),
            Ok(KeyKind::Rsa { bits: 2048 })
        );
    }

    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\n\
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDOuSV/P3hDiDQdbP6eC+qJoaHF\n\
        Ns5NgnLu/qPD0191HzcQJjshIJ49l+PDSzVwQM0JvPfBAPIOp8H3GscrMNJoro/1\n\
        qZidmLcH89q+W5+6K1sOfuechLr1yvfZKg5CRyrEu/BEmUB4Kz264w0Dw5bEMJ1z\n\
        zTUzKNJAXXiIctMSwQIDAQAB\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn an_rsa_key_of_1024_bits_is_refused_with_its_size() {
        let error = KeyError::RsaSize {
            line: 1,
            bits: 1024,
        };
        assert_eq!(PublicKey::parse_pem(RSA_1024), Err(error));
    }

    #[test]
    fn markers_around_garbage_and_a_point_off_its_curve_are_no_keys() {
        assert_eq!(kind(b"garbage"), Err(KeyError::Malformed { line: 1 }));
        let mut der = p256();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert_eq!(kind(&der), Err(KeyError::Malformed { line: 1 }));
        let mut trailing = p256();
        trailing.push(0);
        assert_eq!(kind(&trailing), Err(KeyError::Malformed { line: 1 }));
    }

    #[test]
    fn a_key_has_one_encoding_only() {
        // The algorithm identifier of RSA without its NULL, and that of Ed25519 with one.
        let rsa = rsa(aws_lc_rs::rsa::KeySize::Rsa2048);
        let spki = SubjectPublicKeyInfoOwned::from_der(&rsa).unwrap();
        let mut without = spki.clone();
        without.algorithm.parameters = None;
        let without = without.to_der().unwrap();
        assert_eq!(kind(&rsa), Ok(KeyKind::Rsa { bits: 2048 }));
        assert_eq!(kind(&without), Err(KeyError::Malformed { line: 1 }));

        let pair = Ed25519KeyPair::generate().unwrap();
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let mut with = SubjectPublicKeyInfoOwned::from_der(der.as_ref()).unwrap();
        with.algorithm.parameters = spki.algorithm.parameters;
        assert_eq!(
            kind(&with.to_der().unwrap()),
            Err(KeyError::Malformed { line: 1 })
        );
    }

    #[test]
    fn other_pem_blocks_are_named_and_never_echoed() {
        for (label, expected) in [
            ("PRIVATE KEY", KeyError::PrivateKey { line: 1 }),
            ("EC PRIVATE KEY", KeyError::PrivateKey { line: 1 }),
            (
                "ENCRYPTED SIGSTORE PRIVATE KEY",
                KeyError::PrivateKey { line: 1 },
            ),
            ("CERTIFICATE", KeyError::Certificate { line: 1 }),
            ("RSA PUBLIC KEY", KeyError::Pkcs1 { line: 1 }),
            ("PGP MESSAGE", KeyError::Label { line: 1 }),
        ] {
            let text = to_pem(label, b"secret-material-0123456789");
            let body = text.lines().nth(1).unwrap();
            let error = PublicKey::parse_pem(&text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains(body));
        }
    }

    #[test]
    fn the_order_and_repetition_of_blocks_does_not_matter() {
        let (a, b) = (to_pem("PUBLIC KEY", &p256()), to_pem("PUBLIC KEY", &p256()));
        let one = PublicKey::parse_pem(&format!("{a}{b}{a}")).unwrap();
        let two = PublicKey::parse_pem(&format!("{b}{a}")).unwrap();
        assert_eq!(one, two);
        assert_eq!(PublicKey::parse_pem(&one[0].to_pem()).unwrap()[0], one[0]);
        let many = a.repeat(MAX_KEYS + 1);
        assert_eq!(
            PublicKey::parse_pem(&many),
            Err(KeyError::TooMany(MAX_KEYS + 1))
        );
    }
}
