//! Verdicts that are kept on disk.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use image_verifier::cache::{Cache, Key};
use image_verifier::evaluate::Verdict;
use jiff::Timestamp;
use policy::authority::Authority;
use policy::digest::Digest;
use policy::flatten::Outcome;

use super::attachment;
use super::place::Place;
use super::world::WORLD;
use crate::seeds;

/// How long a verdict is believed at most.
const MAX_AGE: Duration = Duration::from_hours(24);

pub(crate) const WORDS: &[&str] = &[
    "nodeseal-verdict",
    " 1 ",
    "image",
    "digest",
    "createdAt",
    "validUntil",
    "enforced",
    "audited",
    "Cluster",
    "cluster",
    "namespaced",
    "key",
    "logged",
    "dev",
    "corp",
    "corplog",
    "both",
    "example.com/app:v1",
    "\n",
    "{}",
    "[]",
    "[\"key\"]",
    "null",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1748822460",
    "1748822459",
    "1e18",
    "\\u0000",
];

/// A cache with one entry.
struct Kept {
    place: Place,
    cache: Cache,
    key: Key,
    path: PathBuf,
}

thread_local! {
    static KEPT: Kept = Kept::new();
}

/// The verdict of all that was truly signed: every policy passes.
static VERDICT: LazyLock<Verdict> = LazyLock::new(|| {
    let recorded = seeds::recorded().into_iter();
    let found: Vec<_> = recorded
        .flat_map(|(_, data)| attachment::found(&data).unwrap_or_default())
        .collect();
    let verdict = WORLD.judge(&found);
    assert_eq!(verdict.refusal, None);
    verdict
});

/// The bytes of an entry. Those that are not whole are none; those that are, because whoever changed
/// them has made the digest fit, say no more than an entry may.
#[must_use]
pub fn kept_verdict(data: &[u8]) -> bool {
    KEPT.with(|kept| {
        let body = data.iter().position(|&byte| byte == b'\n');
        let body = body.map_or(&[][..], |end| &data[end + 1..]);
        if let Some(verdict) = kept.get(data, WORLD.now) {
            let digest = Digest::of(body).to_string();
            let head = String::from_utf8_lossy(&data[..data.len() - body.len()]);
            assert!(head.trim_end().ends_with(&digest), "it is not whole");
            kept.holds(data, &verdict);
        }
        let fitting = [&kept.head(body), body].concat();
        let Some(verdict) = kept.get(&fitting, WORLD.now) else {
            return false;
        };
        assert_eq!(kept.get(&fitting, WORLD.now).as_ref(), Some(&verdict));
        kept.holds(&fitting, &verdict);
        true
    })
}

/// What the program itself writes.
pub(crate) fn seed() -> Vec<u8> {
    KEPT.with(|kept| {
        let put = kept.cache.put(&kept.key, &VERDICT, WORLD.now);
        assert!(put.expect("it is written"));
        fs::read(&kept.path).expect("it is read")
    })
}

impl Kept {
    fn new() -> Self {
        let place = Place::new();
        place.state();
        let cache = Cache::open(place.root(), MAX_AGE).expect("a cache");
        let decision = WORLD.flat.decide(&WORLD.subject.image);
        let key = Key::of(&WORLD.subject, &decision).expect("signatures decide");
        let put = cache.put(&key, &VERDICT, WORLD.now);
        assert!(put.expect("it is written"), "it is kept");
        let found = |folder: PathBuf| {
            let entries = fs::read_dir(folder).expect("a folder");
            let entries = entries.map(|entry| entry.expect("an entry").path());
            entries.collect::<Vec<_>>()
        };
        let buckets = found(place.root().join(policy::paths::STATE_DIR).join("cache"));
        let mut files = buckets.into_iter().flat_map(found);
        // Beside it lies the lock of the folder.
        let path = files.find(|path| path.file_name().is_some_and(|name| name.len() > 64));
        let path = path.expect("the entry");
        Self {
            place,
            cache,
            key,
            path,
        }
    }

    /// The first line that fits a body.
    fn head(&self, body: &[u8]) -> Vec<u8> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("nodeseal-verdict 2 {name} {}\n", Digest::of(body)).into_bytes()
    }

    /// What is made of an entry with these bytes. What is not believed is removed.
    fn get(&self, bytes: &[u8], now: Timestamp) -> Option<Verdict> {
        let path = self.path.strip_prefix(self.place.root());
        let path = path.expect("it is below").to_str().expect("a text");
        self.place.put(path, bytes);
        let decision = WORLD.flat.decide(&WORLD.subject.image);
        let verdict = self.cache.get(&self.key, &decision, now);
        assert_eq!(verdict.is_some(), self.path.exists());
        verdict
    }

    /// As many authorities as are demanded, all of them the policy's, for a while and not for ever.
    fn holds(&self, bytes: &[u8], verdict: &Verdict) {
        let decision = WORLD.flat.decide(&WORLD.subject.image);
        let Outcome::Verify(policies) = &decision.outcome else {
            unreachable!("signatures decide")
        };
        assert_eq!(verdict.refusal, None);
        assert_eq!(verdict.trust_roots, VERDICT.trust_roots);
        assert_eq!(verdict.enforced.len(), policies.len());
        assert!(verdict.audited.is_empty());
        for (policy, (id, requirement)) in verdict.enforced.iter().zip(policies) {
            assert_eq!(&&policy.policy, id);
            assert_eq!(policy.refusal, None);
            let names = requirement.authorities().iter();
            let names: Vec<&str> = names.map(Authority::name).collect();
            assert!(
                policy.signed_by.len() >= requirement.threshold(),
                "{policy:?}"
            );
            for name in &policy.signed_by {
                assert!(names.contains(&name.as_str()), "{policy:?}");
                let often = policy.signed_by.iter().filter(|other| *other == name);
                assert_eq!(often.count(), 1, "{policy:?}");
            }
        }
        let now = WORLD.now.as_second();
        let end = verdict.valid_until.expect("it ends");
        assert!(now < end);
        let at = |unix: i64| Timestamp::from_second(unix).ok();
        let day = i64::try_from(MAX_AGE.as_secs()).expect("a day");
        for late in [at(end), at(now + day)].into_iter().flatten() {
            assert_eq!(self.get(bytes, late), None, "at {late}");
        }
    }
}
