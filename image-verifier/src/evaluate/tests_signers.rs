//! Which signatures are by different signers, as far as thresholds go.

use policy::authority::{AuthorityDraft, SignerDraft};
use rcgen::{KeyPair, SanType, date_time_ymd};

use super::testing::*;
use crate::candidate::Found;
use crate::reason::Reason;
use crate::sigstore::testing::{SIGNED, email, fulcio};

#[test]
fn a_threshold_takes_authorities_of_every_kind() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let authorities = [
        world.key("key", &key, false),
        world.dev(),
        world.certificate("company", "ops@corp.example", false),
    ];
    let ops = world.maker(|params| params.subject_alt_names = vec![email("ops@corp.example")]);
    let by_key = attached(&by_key(&key, &digest()));
    let (dev, ops) = (
        attached(&world.good()),
        attached(&ops.attachment(&digest())),
    );
    let all = [by_key.clone(), dev.clone(), ops.clone()];
    let at = SIGNED + 60;
    allowed(
        &world.judge_at(at, 3, &authorities, &all),
        "company, dev, key",
    );
    for two in [[&by_key, &dev], [&dev, &ops], [&ops, &by_key]] {
        let two = two.map(Clone::clone);
        assert_eq!(world.judge_at(at, 2, &authorities, &two).refusal, None);
        let verdict = world.judge_at(at, 3, &authorities, &two);
        refused(&verdict, Reason::NoMatchingSignature, "has 2");
    }
    // Somebody who signs twice, and one signature that is found twice.
    let again = attached(&world.good());
    for same in [[&dev, &again], [&dev, &dev], [&by_key, &by_key]] {
        let same = same.map(Clone::clone);
        let verdict = world.judge_at(at, 2, &authorities, &same);
        refused(&verdict, Reason::NoMatchingSignature, "has 1");
    }
}

#[test]
fn one_signature_or_one_key_counts_for_one_authority() {
    let world = World::new();
    let maker = world.maker(|params| params.not_after = date_time_ymd(2030, 1, 1));
    // By the key, by the keyless identity, and by the company's certificate: all at once.
    let signature = world.logged(maker.attachment(&digest()));
    let company = world.certificate("company", DEV, false);
    for other in [world.dev(), company] {
        let authorities = [world.key("key", &maker.key, false), other];
        let at = SIGNED + 60;
        let once = [attached(&signature)];
        assert_eq!(world.judge_at(at, 1, &authorities, &once).refusal, None);
        let verdict = world.judge_at(at, 2, &authorities, &once);
        refused(&verdict, Reason::NoMatchingSignature, "has 1");
        // The same key signs again, with no certificate.
        let again = attached(&by_key(&maker.key, &digest()));
        let twice = [attached(&signature), again];
        let verdict = world.judge_at(at, 2, &authorities, &twice);
        refused(&verdict, Reason::NoMatchingSignature, "has 1");
    }
}

/// Where policies cannot tell beforehand: the company's certificate is wanted for a host.
#[test]
fn one_person_with_a_company_certificate_and_a_keyless_one_counts_once() {
    let world = World::new();
    let mut company = world.certificate("company", DEV, false);
    if let SignerDraft::Certificate { subject, .. } = &mut company.signer {
        subject.email = None;
        subject.dns_name = Some("build.corp.example".to_owned());
    }
    let authorities = [world.dev(), company];
    let host = || SanType::DnsName("build.corp.example".try_into().unwrap());
    let by_company = |names: Vec<SanType>| {
        let maker = world.maker(|params| params.subject_alt_names = names);
        attached(&maker.attachment(&digest()))
    };
    let keyless = attached(&world.good());
    let at = SIGNED + 60;
    let also_dev = by_company(vec![host(), email("DEV@corp.example")]);
    let verdict = world.judge_at(at, 2, &authorities, &[keyless.clone(), also_dev]);
    refused(&verdict, Reason::NoMatchingSignature, "has 1");
    for names in [vec![host()], vec![host(), email("ops@corp.example")]] {
        let other = by_company(names);
        let verdict = world.judge_at(at, 2, &authorities, &[keyless.clone(), other]);
        allowed(&verdict, "company, dev");
    }
}

/// Where policies cannot tell beforehand: of two expressions nobody knows who fits both.
#[test]
fn the_same_address_at_two_providers_is_one_signer() {
    const OTHER: &str = "https://other.example";
    let world = World::new();
    let by = |issuer: &str, subject: SanType| {
        let maker = world.maker(|params| {
            params.custom_extensions = vec![fulcio(8, issuer)];
            params.subject_alt_names = vec![subject];
        });
        attached(&world.logged(maker.attachment(&digest())))
    };
    let judge = |authorities: &[AuthorityDraft], found: [&Found; 2]| {
        world.judge_at(SIGNED + 60, 2, authorities, &found.map(Clone::clone))
    };
    let people = [
        world.keyless("a", exact(ISSUER), expression("[Aa].*@corp\\.example")),
        world.keyless("b", exact(OTHER), expression(".*e@corp\\.example")),
    ];
    let alice = by(ISSUER, email("Alice@corp.example"));
    let again = by(OTHER, email("alice@corp.example"));
    refused(
        &judge(&people, [&alice, &again]),
        Reason::NoMatchingSignature,
        "has 1",
    );
    let joe = by(OTHER, email("joe@corp.example"));
    allowed(&judge(&people, [&alice, &joe]), "a, b");
    // A path is another thing at another provider.
    let path = "https://git.example/app@refs/heads/main";
    let uri = || SanType::URI(path.try_into().unwrap());
    let machines = [
        world.keyless("a", exact(ISSUER), exact(path)),
        world.keyless("b", exact(OTHER), exact(path)),
    ];
    let (one, two) = (by(ISSUER, uri()), by(OTHER, uri()));
    allowed(&judge(&machines, [&one, &two]), "a, b");
}

/// Two people whose certificates have a name of some kind that nobody compares (a Windows domain's, say).
#[test]
fn names_of_an_unknown_kind_make_nobody_the_same() {
    let world = World::new();
    let by = |address: &str| {
        let maker = world.maker(|params| {
            let unknown = SanType::IpAddress([1, 2, 3, 4].into());
            params.subject_alt_names = vec![email(address), unknown];
        });
        attached(&maker.attachment(&digest()))
    };
    let authorities = [
        world.certificate("dev", DEV, false),
        world.certificate("ops", "ops@corp.example", false),
    ];
    let found = [by(DEV), by("ops@corp.example")];
    allowed(
        &world.judge_at(SIGNED + 60, 2, &authorities, &found),
        "dev, ops",
    );
}
