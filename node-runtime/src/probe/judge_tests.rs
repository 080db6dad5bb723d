use super::super::names::{CONFIG, manifest};
use super::super::{Nonce, Seen};
use super::*;

const PORT: u16 = 23_456;

fn bundle() -> Digest {
    Digest::of(b"the bundle in force")
}

fn older() -> Digest {
    Digest::of(b"an older bundle")
}

fn names() -> Names {
    Names::new(PORT, &bundle(), &Nonce::new([0xab; 16]))
}

/// Which of the two images.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    Deny,
    Allow,
}

/// What can have come in. Each stands for itself; the words of the last column are those of the
/// tables below.
const LOGS: [&str; 10] = [
    "nothing",
    "connected",
    "head",
    "get",
    "head,get",
    "get,head",
    "get,config",
    "config",
    "head,flood",
    "other-tag",
];

fn seen(log: &str, which: Which) -> Seen {
    let names = names();
    let image = match which {
        Which::Deny => names.deny_image(),
        Which::Allow => names.allow_image(),
    };
    let mut seen = Seen::default();
    let mut add = |method, below: &str| {
        let path = format!("/v2/{}/{below}", image.repository);
        seen.add(method, &path, image);
    };
    let asked = format!("manifests/{}", image.reference);
    for word in log.split(',') {
        match word {
            "head" => add(Method::Head, &asked),
            // After the tag was resolved, containerd asks by digest.
            "get" => add(Method::Get, &format!("manifests/{}", manifest())),
            "config" => add(Method::Get, &format!("blobs/{CONFIG}")),
            "other-tag" => add(Method::Get, "manifests/latest"),
            "flood" => {
                for _ in 0..100 {
                    add(Method::Head, "manifests/latest");
                }
            }
            "nothing" | "connected" => {}
            other => panic!("{other}"),
        }
    }
    if log == "connected" {
        seen.connections = 2;
    }
    seen
}

/// What containerd can have said.
const CONTAINERD: [&str; 11] = [
    "done",
    "ours",
    "older",
    "no-bundle",
    "other-nonce",
    "crashed",
    "not-executable",
    "foreign",
    "not-found",
    "late",
    "gone",
];

fn containerd_said(word: &str, which: Which) -> Pulled {
    let names = names();
    let (image, resolved) = match which {
        Which::Deny => (names.deny(), names.denied()),
        Which::Allow => (names.allow(), names.allow()),
    };
    let blocked = |verifier: &str, code: i32, line: &str| {
        Pulled::Failed(format!(
            "failed to pull and unpack image \"{image}\": image verifier bindir blocked pull of {image} with digest {} for reason: verifier {verifier} rejected image (exit code {code}): {line}",
            manifest()
        ))
    };
    let ours = |bundle: &Digest, image: &str| {
        let line = format!(
            "SignatureValidationFailed: NotAllowed (fatal): this image is always refused on this node (scope `x`) [bundle {bundle}, image {image}]"
        );
        blocked("nodeseal-verifier", 1, &line)
    };
    match word {
        "done" => Pulled::Done,
        "ours" => ours(&bundle(), &resolved),
        "older" => ours(&older(), &resolved),
        "no-bundle" => blocked(
            "nodeseal-verifier",
            1,
            &format!(
                "SignatureValidationFailed: PolicyError (fatal): the policy: gone [image {image} {}]",
                manifest()
            ),
        ),
        "other-nonce" => ours(
            &bundle(),
            &resolved.replacen("nodeseal-probe/", "nodeseal-probe/x", 1),
        ),
        "crashed" => blocked("nodeseal-verifier", 134, ""),
        "not-executable" => Pulled::Failed(format!(
            "failed to pull and unpack image \"{image}\": blocking pull of {image} with digest {}: image verifier bindir returned error: failed to call verifier nodeseal-verifier (runtime 1ms): fork/exec: exec format error",
            manifest()
        )),
        "foreign" => blocked("aaa", 1, "not in my list"),
        "not-found" => Pulled::Failed(format!(
            "failed to pull and unpack image \"{image}\": failed to copy: httpReadSeeker: failed open: content at http://{image} not found: not found"
        )),
        "late" => Pulled::Late("PullImage took longer than 30 s".to_owned()),
        "gone" => Pulled::Unreachable("cannot connect".to_owned()),
        other => panic!("{other}"),
    }
}

/// What CRI-O can have said.
const CRIO: [&str; 6] = ["done", "refused", "unreadable", "not-found", "late", "gone"];

fn crio_said(word: &str) -> Pulled {
    match word {
        "done" => Pulled::Done,
        "refused" => Pulled::Failed("SignatureValidationFailed: Source image rejected: Running image docker://127.0.0.1:23456/nodeseal-probe/x is rejected by policy.".to_owned()),
        "unreadable" => Pulled::Failed("pull image: invalid policy in \"/etc/crio/policy.json\": Unknown key \"bogus\"".to_owned()),
        "not-found" => Pulled::Failed("reading blob: fetching blob: blob unknown to registry".to_owned()),
        other => containerd_said(other, Which::Deny),
    }
}

fn doubt(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::Unreachable(_) => "?unreachable",
        Doubt::Late(_) => "?late",
        Doubt::NoRequest { .. } => "?no-request",
        Doubt::Elsewhere(_) => "?elsewhere",
        Doubt::Failed(_) => "?failed",
        Doubt::OtherRefusal(_) => "?other-refusal",
        Doubt::Flooded => "?flooded",
        Doubt::PortTaken(_) => "?port-taken",
        Doubt::NoRegistry(_) => "?no-registry",
    }
}

fn denied(denied: &Denied) -> &'static str {
    match denied {
        Denied::Refused => "refused",
        Denied::Passed(Bypass::Pulled) => "pulled",
        Denied::Passed(Bypass::Fetched) => "fetched",
        Denied::Stale(seen) => {
            assert_eq!(*seen, older());
            "stale"
        }
        Denied::Otherwise(_) => "otherwise",
        Denied::Unclear(why) => doubt(why),
    }
}

fn allowed(allowed: &Allowed) -> &'static str {
    match allowed {
        Allowed::Passed => "passed",
        Allowed::Refused(_) => "refused",
        Allowed::Stale(seen) => {
            assert_eq!(*seen, older());
            "stale"
        }
        Allowed::Unclear(why) => doubt(why),
    }
}

/// The table of a leg: a row for each log, a column for each answer.
fn table(
    said: &[&str],
    which: Which,
    pulled: impl Fn(&str) -> Pulled,
    outcome: impl Fn(&Leg) -> &'static str,
) -> String {
    let mut lines = Vec::new();
    for log in LOGS {
        let cells = said.iter().map(|said| {
            let leg = Leg {
                seen: seen(log, which),
                pulled: pulled(said),
            };
            outcome(&leg)
        });
        let cells: Vec<_> = cells.collect();
        lines.push(format!("{log}: {}", cells.join(" ")));
    }
    lines.join("\n")
}

/// The columns are those of [`CONTAINERD`].
#[test]
fn containerds_pull_that_has_to_be_refused() {
    let table = table(
        &CONTAINERD,
        Which::Deny,
        |said| containerd_said(said, Which::Deny),
        |leg| denied(&containerd_denied(&names(), leg)),
    );
    let expected = "\
nothing: pulled refused stale ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?no-request ?late ?unreachable
connected: pulled refused stale ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?no-request ?late ?unreachable
head: pulled refused stale otherwise otherwise otherwise otherwise otherwise ?failed ?late ?unreachable
get: pulled refused stale ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?elsewhere fetched ?late ?unreachable
head,get: pulled refused stale otherwise otherwise otherwise otherwise otherwise fetched ?late ?unreachable
get,head: pulled refused stale otherwise otherwise otherwise otherwise otherwise fetched ?late ?unreachable
get,config: pulled refused stale ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?elsewhere fetched ?late ?unreachable
config: pulled refused stale ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?elsewhere fetched ?late ?unreachable
head,flood: pulled refused stale otherwise otherwise otherwise otherwise otherwise ?flooded ?late ?unreachable
other-tag: pulled refused stale ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?elsewhere ?failed ?late ?unreachable";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn containerds_pull_that_has_to_pass() {
    let table = table(
        &CONTAINERD,
        Which::Allow,
        |said| containerd_said(said, Which::Allow),
        |leg| allowed(&containerd_allowed(&names(), leg)),
    );
    let expected = "\
nothing: ?elsewhere refused stale refused refused refused refused refused ?no-request ?late ?unreachable
connected: ?elsewhere refused stale refused refused refused refused refused ?no-request ?late ?unreachable
head: ?elsewhere refused stale refused refused refused refused refused ?failed ?late ?unreachable
get: ?elsewhere refused stale refused refused refused refused refused ?failed ?late ?unreachable
head,get: ?elsewhere refused stale refused refused refused refused refused passed ?late ?unreachable
get,head: ?elsewhere refused stale refused refused refused refused refused ?failed ?late ?unreachable
get,config: ?elsewhere refused stale refused refused refused refused refused ?failed ?late ?unreachable
config: ?elsewhere refused stale refused refused refused refused refused ?failed ?late ?unreachable
head,flood: ?elsewhere refused stale refused refused refused refused refused ?flooded ?late ?unreachable
other-tag: ?elsewhere refused stale refused refused refused refused refused ?failed ?late ?unreachable";
    assert_eq!(table, expected, "\n{table}");
}

/// The columns are those of [`CRIO`].
#[test]
fn crios_pull_that_has_to_be_refused() {
    let outcome = |leg: &Leg| denied(&crio_denied(&names(), leg));
    let table = table(&CRIO, Which::Deny, crio_said, outcome);
    let expected = "\
nothing: pulled ?elsewhere otherwise ?no-request ?late ?unreachable
connected: pulled ?elsewhere otherwise ?no-request ?late ?unreachable
head: pulled ?elsewhere otherwise ?failed ?late ?unreachable
get: pulled refused otherwise ?failed ?late ?unreachable
head,get: pulled refused otherwise ?failed ?late ?unreachable
get,head: pulled refused otherwise ?failed ?late ?unreachable
get,config: pulled refused otherwise fetched ?late ?unreachable
config: pulled ?elsewhere otherwise fetched ?late ?unreachable
head,flood: pulled ?flooded otherwise ?flooded ?late ?unreachable
other-tag: pulled ?elsewhere otherwise ?failed ?late ?unreachable";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn crios_pull_that_has_to_pass() {
    let outcome = |leg: &Leg| allowed(&crio_allowed(&names(), leg));
    let table = table(&CRIO, Which::Allow, crio_said, outcome);
    let expected = "\
nothing: ?elsewhere refused refused ?no-request ?late ?unreachable
connected: ?elsewhere refused refused ?no-request ?late ?unreachable
head: ?elsewhere refused refused ?failed ?late ?unreachable
get: ?elsewhere refused refused ?failed ?late ?unreachable
head,get: ?elsewhere refused refused ?failed ?late ?unreachable
get,head: ?elsewhere refused refused ?failed ?late ?unreachable
get,config: ?elsewhere refused refused passed ?late ?unreachable
config: ?elsewhere refused refused ?failed ?late ?unreachable
head,flood: ?elsewhere refused refused ?flooded ?late ?unreachable
other-tag: ?elsewhere refused refused ?failed ?late ?unreachable";
    assert_eq!(table, expected, "\n{table}");
}

/// Every outcome of one leg with every outcome of the other.
#[test]
fn both_legs_together() {
    let text = |text: &str| text.to_owned();
    let denials = [
        Denied::Refused,
        Denied::Passed(Bypass::Pulled),
        Denied::Passed(Bypass::Fetched),
        Denied::Stale(older()),
        Denied::Otherwise(text("deny")),
        Denied::Unclear(Doubt::Late(text("deny"))),
    ];
    let allowances = [
        Allowed::Passed,
        Allowed::Refused(text("allow")),
        Allowed::Stale(older()),
        Allowed::Unclear(Doubt::Failed(text("allow"))),
    ];
    let proof = |proof: Proof| match proof {
        Proof::Unknown { why } => doubt(&why),
        other => other.reason(),
    };
    let mut lines = Vec::new();
    for denial in &denials {
        let row = allowances
            .iter()
            .map(|allowance| proof(verdict(denial.clone(), allowance.clone())));
        let row: Vec<_> = row.collect();
        lines.push(format!("{}: {}", denied(denial), row.join(" ")));
    }
    let expected = "\
refused: Enforcing RefusesEverything StaleBundle ?failed
pulled: Bypassed Bypassed Bypassed Bypassed
fetched: Bypassed Bypassed Bypassed Bypassed
stale: StaleBundle StaleBundle StaleBundle StaleBundle
otherwise: ?other-refusal RefusesEverything StaleBundle ?failed
?late: ?late ?late StaleBundle ?late";
    assert_eq!(lines.join("\n"), expected);
}

fn pairs<'a>(logs: &[&'a str], words: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let of = |log| words.iter().map(move |word| (log, *word));
    logs.iter().copied().flat_map(of).collect()
}

/// Requests that somebody else sends neither undo a refusal nor make up for one.
#[test]
fn requests_of_others_change_nothing_that_the_runtime_said() {
    let judged = |kind, deny: (&str, &str), allow: (&str, &str)| {
        let leg = |(log, word): (&str, &str), which| Leg {
            seen: seen(log, which),
            pulled: match kind {
                Kind::Containerd => containerd_said(word, which),
                Kind::Crio => crio_said(word),
            },
        };
        let observed = Observed {
            names: names(),
            deny: leg(deny, Which::Deny),
            allow: leg(allow, Which::Allow),
        };
        judge(kind, &observed).reason()
    };
    let passed = ("head,get", "not-found");
    for forged in [
        "head",
        "head,get",
        "get,head",
        "get,config",
        "config",
        "head,flood",
    ] {
        let of = |deny, allow| judged(Kind::Containerd, deny, allow);
        assert_eq!(of((forged, "ours"), passed), "Enforcing", "{forged}");
        assert_eq!(of((forged, "older"), passed), "StaleBundle", "{forged}");
        for word in ["ours", "no-bundle", "crashed", "not-executable", "foreign"] {
            let proof = of(("head", "ours"), (forged, word));
            assert_eq!(proof, "RefusesEverything", "{forged} {word}");
        }
        for word in ["late", "gone"] {
            assert_eq!(of((forged, word), passed), "Unknown", "{forged} {word}");
            let proof = of(("head", "ours"), (forged, word));
            assert_eq!(proof, "Unknown", "{forged} {word}");
        }
    }
    let passed = ("get,config", "not-found");
    let of = |deny, allow| judged(Kind::Crio, deny, allow);
    assert_eq!(of(("get,config", "refused"), passed), "Enforcing");
    for word in ["refused", "unreadable"] {
        let proof = of(("get", "refused"), ("get,config", word));
        assert_eq!(proof, "RefusesEverything", "{word}");
    }
    // What did not fail by going on to fetch is no bypass either.
    let unresolved = Leg {
        seen: seen("head,get", Which::Deny),
        pulled: Pulled::Failed(format!(
            "failed to pull and unpack image \"{0}\": failed to resolve image: {0}: not found",
            names().deny()
        )),
    };
    assert_eq!(denied(&containerd_denied(&names(), &unresolved)), "?failed");
}

/// Of all that can be observed only the right answers are a proof: for the refusal the runtime's word,
/// whatever was asked for beside it, and for the pass its word and the requests that go with it.
#[test]
fn nothing_but_the_two_right_legs_is_enforcing() {
    let mut enforcing = Vec::new();
    let kinds: [(Kind, &[&str]); 2] = [(Kind::Containerd, &CONTAINERD), (Kind::Crio, &CRIO)];
    for (kind, words) in kinds {
        let said = |word: &str, which| match kind {
            Kind::Containerd => containerd_said(word, which),
            Kind::Crio => crio_said(word),
        };
        for deny_log in LOGS {
            for deny_word in words {
                for (allow_log, allow_word) in pairs(&LOGS, words) {
                    let observed = Observed {
                        names: names(),
                        deny: Leg {
                            seen: seen(deny_log, Which::Deny),
                            pulled: said(deny_word, Which::Deny),
                        },
                        allow: Leg {
                            seen: seen(allow_log, Which::Allow),
                            pulled: said(allow_word, Which::Allow),
                        },
                    };
                    if judge(kind, &observed) == Proof::Enforcing {
                        enforcing.push(format!(
                            "{kind:?} {deny_log} {deny_word} {allow_log} {allow_word}"
                        ));
                    }
                }
            }
        }
    }
    assert_eq!(
        enforcing,
        [
            "Containerd nothing ours head,get not-found",
            "Containerd connected ours head,get not-found",
            "Containerd head ours head,get not-found",
            "Containerd get ours head,get not-found",
            "Containerd head,get ours head,get not-found",
            "Containerd get,head ours head,get not-found",
            "Containerd get,config ours head,get not-found",
            "Containerd config ours head,get not-found",
            "Containerd head,flood ours head,get not-found",
            "Containerd other-tag ours head,get not-found",
            "Crio get refused get,config not-found",
            "Crio head,get refused get,config not-found",
            "Crio get,head refused get,config not-found",
            "Crio get,config refused get,config not-found",
        ]
    );
}

#[test]
fn every_proof_explains_itself_in_one_line() {
    let message = format!("two\nlines{}", "é".repeat(1000));
    let whys = [
        Doubt::Unreachable(short(&message)),
        Doubt::Late(short(&message)),
        Doubt::NoRequest {
            connections: 2,
            message: short(&message),
        },
        Doubt::Elsewhere(short(&message)),
        Doubt::Failed(short(&message)),
        Doubt::OtherRefusal(short(&message)),
        Doubt::Flooded,
    ];
    let mut proofs: Vec<_> = whys.into_iter().map(|why| Proof::Unknown { why }).collect();
    proofs.extend([
        Proof::Enforcing,
        Proof::Bypassed {
            why: Bypass::Pulled,
        },
        Proof::Bypassed {
            why: Bypass::Fetched,
        },
        Proof::RefusesEverything {
            why: short(&message),
        },
        Proof::StaleBundle { seen: older() },
    ]);
    let mut texts: Vec<_> = proofs.iter().map(ToString::to_string).collect();
    for text in &texts {
        assert!(!text.contains('\n') && text.len() < 900, "{text}");
    }
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), proofs.len());
}

#[test]
fn a_port_that_somebody_else_has_proves_nothing() {
    let taken = BindError::Taken {
        host: "127.0.0.1:23456".to_owned(),
    };
    let proof = Proof::from(&taken);
    assert!(matches!(
        &proof,
        Proof::Unknown { why: Doubt::PortTaken(text) } if text.contains("127.0.0.1:23456")
    ));
    assert_eq!(proof.reason(), "Unknown");
}
