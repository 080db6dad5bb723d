//! containerd's call: arguments and what it writes to stdin.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use image_verifier::args::{self, Args, Call};
use image_verifier::descriptor;
use image_verifier::reason::{Reason, Refusal};
use image_verifier::run::{Answer, Subject};
use image_verifier::verdicts::{append, records};
use jiff::Timestamp;
use policy::reference::Reference;
use policy::verdicts::{Kind, MAX_RECORD, Record};

use super::place::Place;
use super::{is_one_line, value_of};

pub(crate) const WORDS: &[&str] = &[
    "-name",
    "-digest",
    "-stdin-media-type",
    "--version",
    "-h",
    "--",
    "\n-name\n",
    "\n\n",
    "application/vnd.oci.descriptor.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d",
    "@sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d",
    "SHA256:",
    "sha512:",
    "example.com/app:v1",
    ":v1",
    "@",
    "mediaType",
    "digest",
    "size",
    "annotations",
    "-1",
    "1e3",
    "0",
    "null",
    "{}",
    "\\u0000",
    "\\u0064igest",
    "\u{1b}[2K",
    "\u{202e}",
    "\u{2028}",
    "\r",
];

/// The flags in the order in which containerd gives them.
const FLAGS: [&str; 3] = ["-name", "-digest", "-stdin-media-type"];

thread_local! {
    static PLACE: Place = {
        let place = Place::new();
        place.state();
        place
    };
}

/// Arguments, one a line up to an empty line, and what stands on stdin.
#[must_use]
pub fn verifier_call(data: &[u8]) -> bool {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, stdin) = end.map_or((data, &[][..]), |end| (&data[..end], &data[end + 2..]));
    let words = || head.split(|&byte| byte == b'\n').map(<[u8]>::to_vec);
    let arguments: Vec<OsString> = words().map(OsString::from_vec).collect();
    let args = match args::parse(arguments.clone()) {
        Ok(Call::Verify(args)) => args,
        Ok(Call::Version) => {
            assert_eq!(head, b"--version");
            return false;
        }
        Err(error) => {
            is_one_line(&Refusal::new(Reason::InvalidRequest, error.to_string()));
            return false;
        }
    };
    is_the_only_meaning(&args, &arguments);
    let read = descriptor::read(stdin).expect("it is short enough");
    assert_eq!(read, stdin);
    match Subject::new(&args, stdin) {
        Ok(subject) => {
            describes_one_image(&args, stdin, &subject);
            true
        }
        Err(refusal) => {
            is_one_line(&refusal);
            is_logged(&args, refusal);
            false
        }
    }
}

/// Each flag once, with a value, in whatever order, and nothing else.
fn is_the_only_meaning(args: &Args, arguments: &[OsString]) {
    let values = [&args.name, &args.digest, &args.stdin_media_type];
    let pairs: Vec<[OsString; 2]> = FLAGS
        .iter()
        .zip(values)
        .map(|(flag, value)| [flag.into(), value.into()])
        .collect();
    let mut given: Vec<&[OsString]> = arguments.chunks(2).collect();
    given.sort();
    let mut sorted: Vec<&[OsString]> = pairs.iter().map(|pair| &pair[..]).collect();
    sorted.sort();
    assert_eq!(given, sorted);
    let parse = |order: [usize; 3]| {
        let pairs = order.map(|at| pairs[at].clone());
        args::parse(pairs.into_iter().flatten())
    };
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        assert_eq!(parse(order), Ok(Call::Verify(args.clone())));
    }
    for pair in &pairs {
        let more = arguments.iter().chain(pair).cloned();
        assert!(args::parse(more).is_err(), "{pair:?} twice");
    }
    for at in 0..arguments.len() {
        let mut fewer = arguments.to_vec();
        let gone = fewer.remove(at);
        assert!(args::parse(fewer).is_err(), "without {}", gone.display());
    }
}

/// Name, argument and descriptor agree, by another reader of JSON's values.
fn describes_one_image(args: &Args, stdin: &[u8], subject: &Subject) {
    assert_eq!(args.stdin_media_type, descriptor::STDIN_MEDIA_TYPE);
    let Subject { image, digest } = subject;
    assert_eq!(digest.as_str(), args.digest);
    if let Some(value) = value_of(stdin) {
        assert_eq!(value["digest"], args.digest.as_str());
        assert!(value["size"].as_i64().is_some_and(|size| size >= 0));
        let media_type = value["mediaType"].as_str().expect("a text");
        let kinds = ["manifest", "index"];
        assert!(
            kinds.iter().any(|kind| media_type.contains(kind)),
            "{media_type}"
        );
        assert!(!media_type.contains("v1+prettyjws"), "{media_type}");
    }
    let normal = image.to_string();
    assert_eq!(Reference::parse(&normal).as_ref(), Ok(image), "{normal}");
    if let Some(named) = image.digest() {
        assert_eq!(named, digest);
    }
    let again = Subject::new(args, stdin).expect("as before");
    assert_eq!((&again.image, &again.digest), (image, digest));
}

/// The log's line of a refusal is read back as it was written.
fn is_logged(args: &Args, refusal: Refusal) {
    let answer = Answer::refuse(refusal);
    let taken = Duration::from_millis(7);
    let records = records(args, &answer, taken, Timestamp::UNIX_EPOCH);
    let [record] = records.as_slice() else {
        unreachable!("one answer, and no audits")
    };
    assert_eq!(record.verdict, Kind::Refused);
    for text in [&record.image, &record.digest, &record.line] {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    PLACE.with(|place| {
        place.put(super::log::CURRENT, b"");
        append(place.root(), &records).expect("it is written");
        let path = place.root().join(super::log::CURRENT);
        let log = std::fs::read(path).expect("a file");
        assert!(log.len() <= MAX_RECORD, "{} bytes", log.len());
        let line = log.strip_suffix(b"\n").expect("a whole line");
        assert!(!line.contains(&b'\n'));
        // Where it were too long, name and line are what is cut.
        let read = &Record::parse(line).expect("it is read");
        assert_eq!(read.reason, record.reason);
        assert_eq!(read.digest, record.digest);
        if !read.line.is_empty() {
            assert_eq!(read, record);
        }
    });
}
