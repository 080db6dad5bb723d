//! The command line that containerd gives a verifier, and nothing else.
//!
//! `<bin> -name REF -digest DGST -stdin-media-type MT`: containerd's `pkg/imageverifier/bindir`
//! passes exactly these, with single dashes. Exit code 0 means "allow", so a call that is no
//! verification must never end with it: whatever is unknown, missing, repeated or empty refuses.

use std::ffi::OsString;

use crate::reason::quoted;

/// What containerd says about the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// The image name: normalised by CRI, raw from other clients.
    pub name: String,
    /// The digest of the manifest or index that is pulled.
    pub digest: String,
    /// The media type of what comes on stdin.
    pub stdin_media_type: String,
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A verification.
    Verify(Args),
    /// `--version`, alone.
    Version,
}

/// Why a command line is not containerd's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// Not UTF-8.
    #[error("an argument is not UTF-8")]
    NotUtf8,
    /// An argument that is none of the three flags.
    #[error("unknown argument {}: containerd passes -name, -digest and -stdin-media-type", quoted(.0))]
    Unknown(String),
    /// A flag stands there twice.
    #[error("{0} stands there twice")]
    Repeated(&'static str),
    /// A flag has no value, or an empty one.
    #[error("{0} has no value")]
    Empty(&'static str),
    /// A flag is missing.
    #[error("{0} is missing: this program is run by containerd, at each pull")]
    Missing(&'static str),
}

/// Parses the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Call, ArgsError> {
    let mut arguments = arguments
        .into_iter()
        .map(|argument| argument.into_string().map_err(|_| ArgsError::NotUtf8));
    let (mut name, mut digest, mut media_type) = (None, None, None);
    let mut first = true;
    while let Some(argument) = arguments.next() {
        let argument = argument?;
        let (flag, slot) = match argument.as_str() {
            "-name" => ("-name", &mut name),
            "-digest" => ("-digest", &mut digest),
            "-stdin-media-type" => ("-stdin-media-type", &mut media_type),
            "--version" if first => {
                return match arguments.next() {
                    None => Ok(Call::Version),
                    Some(_) => Err(ArgsError::Unknown(argument)),
                };
            }
            _ => return Err(ArgsError::Unknown(argument)),
        };
        first = false;
        if slot.is_some() {
            return Err(ArgsError::Repeated(flag));
        }
        let value = arguments.next().ok_or(ArgsError::Empty(flag))??;
        if value.is_empty() {
            return Err(ArgsError::Empty(flag));
        }
        *slot = Some(value);
    }
    Ok(Call::Verify(Args {
        name: name.ok_or(ArgsError::Missing("-name"))?,
        digest: digest.ok_or(ArgsError::Missing("-digest"))?,
        stdin_media_type: media_type.ok_or(ArgsError::Missing("-stdin-media-type"))?,
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn call(line: &str) -> Result<Call, ArgsError> {
        parse(
            line.split(' ')
                .filter(|word| !word.is_empty())
                .map(OsString::from),
        )
    }

    #[test]
    fn the_call_of_containerd_is_understood_in_any_order() {
        let expected = Call::Verify(Args {
            name: "a".into(),
            digest: "d".into(),
            stdin_media_type: "m".into(),
        });
        for line in [
            "-name a -digest d -stdin-media-type m",
            "-stdin-media-type m -name a -digest d",
        ] {
            assert_eq!(call(line), Ok(expected.clone()), "{line}");
        }
    }

    #[test]
    fn every_other_call_is_refused() {
        use ArgsError as E;
        let unknown = |text: &str| E::Unknown(text.into());
        for (line, error) in [
            ("", E::Missing("-name")),
            ("-name a", E::Missing("-digest")),
            ("-name a -digest d", E::Missing("-stdin-media-type")),
            ("-digest d -stdin-media-type m", E::Missing("-name")),
            (
                "-name a -name a -digest d -stdin-media-type m",
                E::Repeated("-name"),
            ),
            (
                "-name a -digest d -stdin-media-type",
                E::Empty("-stdin-media-type"),
            ),
            ("--name a -digest d -stdin-media-type m", unknown("--name")),
            ("-name=a -digest d -stdin-media-type m", unknown("-name=a")),
            ("-name a -digest d -stdin-media-type m x", unknown("x")),
            (
                "-name a -digest d -stdin-media-type m --version",
                unknown("--version"),
            ),
            ("--version x", unknown("--version")),
            ("-version", unknown("-version")),
            ("--help", unknown("--help")),
            ("-h", unknown("-h")),
        ] {
            assert_eq!(call(line), Err(error), "{line}");
        }
        let empty = ["-name", "", "-digest", "d", "-stdin-media-type", "m"].map(OsString::from);
        assert_eq!(parse(empty), Err(E::Empty("-name")));
        let bytes = ["-name".into(), OsString::from_vec(vec![0xff])];
        assert_eq!(parse(bytes), Err(E::NotUtf8));
    }

    #[test]
    fn the_version_is_a_call_of_its_own() {
        assert_eq!(call("--version"), Ok(Call::Version));
    }
}
