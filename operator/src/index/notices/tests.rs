use super::matters::Item;
use super::teller::{MOST, MOST_OF_OTHERS, MOST_OF_TENANTS, PAUSE};
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn policy(name: &str) -> Topic {
    Topic {
        subject: Subject::Policy(PolicyId::Cluster {
            name: name.to_owned(),
        }),
        kind: NoticeKind::ImagesRefused,
    }
}

fn node(name: &str) -> Topic {
    Topic {
        subject: Subject::Node(name.to_owned()),
        kind: NoticeKind::RolledBack,
    }
}

fn matter(keys: &[&str], since: Option<Timestamp>) -> Matter {
    let item = |key: &&str| {
        let words = format!("about {key}");
        ((*key).to_owned(), Item { words, since })
    };
    Matter {
        head: "things".to_owned(),
        items: keys.iter().map(item).collect(),
        count: keys.len(),
        advice: "Mend them",
    }
}

fn matters(all: &[(Topic, &[&str])]) -> BTreeMap<Topic, Matter> {
    let made = all.iter();
    made.map(|(topic, keys)| (topic.clone(), matter(keys, None)))
        .collect()
}

fn told(teller: &mut Teller, all: &[(Topic, &[&str])], second: i64) -> Vec<String> {
    let news = teller.tell(&matters(all), at(second));
    news.into_iter()
        .map(|(topic, new)| {
            let name = match topic.subject {
                Subject::Policy(id) => id.to_string(),
                Subject::Config => "config".to_owned(),
                Subject::TrustRoot(name) | Subject::Node(name) => name,
            };
            format!("{name}: {}", new.join(" "))
        })
        .collect()
}

#[test]
fn what_stays_the_case_is_told_once() {
    let mut teller = Teller::default();
    assert_eq!(told(&mut teller, &[(policy("p"), &["a"])], 0), ["p: a"]);
    for second in [1, 60, 3_600, 86_400] {
        assert_eq!(
            told(&mut teller, &[(policy("p"), &["a"])], second),
            [""; 0],
            "{second}"
        );
        assert_eq!(teller.deadline(), None);
    }
    assert_eq!(told(&mut teller, &[], 86_401), [""; 0]);
    // It is the case again.
    let again = told(&mut teller, &[(policy("p"), &["a"])], 86_402);
    assert_eq!(again, ["p: a"]);
}

#[test]
fn what_comes_up_within_five_minutes_is_told_together() {
    let mut teller = Teller::default();
    told(&mut teller, &[(policy("p"), &["a"])], 0);
    assert_eq!(
        told(&mut teller, &[(policy("p"), &["a", "b"])], 10),
        [""; 0]
    );
    assert_eq!(teller.deadline(), Some(at(0) + PAUSE));
    let all: &[(Topic, &[&str])] = &[(policy("p"), &["a", "b", "c"]), (policy("q"), &["z"])];
    assert_eq!(
        told(&mut teller, all, 299),
        ["q: z"],
        "another is not held back"
    );
    assert_eq!(told(&mut teller, all, 300), ["p: b c"]);
    assert_eq!(teller.deadline(), None);
    // Something that came and went meanwhile is not told.
    told(&mut teller, &[(policy("p"), &["a", "b", "c", "d"])], 310);
    told(&mut teller, &[(policy("p"), &["a", "b", "c"])], 320);
    assert_eq!(teller.deadline(), None);
    let same = told(&mut teller, &[(policy("p"), &["a", "b", "c"])], 700);
    assert_eq!(same, [""; 0]);
}

#[test]
fn at_most_sixty_are_told_in_a_minute_and_policies_first() {
    let mut teller = Teller::default();
    let mut all: Vec<(Topic, &[&str])> = Vec::new();
    for n in 0..100 {
        all.push((node(&format!("n{n:03}")), &["x"]));
    }
    for n in 0..5 {
        all.push((policy(&format!("p{n}")), &["x"]));
    }
    let first = told(&mut teller, &all, 0);
    assert_eq!(first.len(), MOST);
    assert!(first[..5].iter().all(|one| one.starts_with('p')));
    assert_eq!(first[59], "n054: x");
    assert_eq!(teller.deadline(), Some(at(60)));
    assert_eq!(told(&mut teller, &all, 30), [""; 0]);
    all.push((node("n000-late"), &["x"]));
    let second = told(&mut teller, &all, 60);
    assert_eq!(second.len(), 46);
    assert_eq!(
        (second[0].as_str(), second[45].as_str()),
        ("n055: x", "n000-late: x"),
        "who waits longest goes first"
    );
    assert_eq!(told(&mut teller, &all, 600), [""; 0]);
}

#[test]
fn policies_under_ever_new_names_do_not_keep_what_nodes_have_to_tell() {
    let mut teller = Teller::default();
    let new = |second: i64| {
        (0..100).map(move |n| Topic {
            subject: Subject::Policy(PolicyId::Namespaced {
                namespace: "tenant".to_owned(),
                name: format!("p{second}-{n}"),
            }),
            kind: NoticeKind::ImagesRefused,
        })
    };
    for second in (0..600).step_by(10) {
        let tenants = new(second).map(|topic| (topic, &["x"][..]));
        let mut all: Vec<(Topic, &[&str])> = tenants.collect();
        if second == 300 {
            all.extend((0..15).map(|n| (node(&format!("n{n:02}")), &["x"][..])));
            all.extend((0..15).map(|n| (policy(&format!("c{n:02}")), &["x"][..])));
            let told = told(&mut teller, &all, second);
            for begins in ["n", "c"] {
                let told = told.iter().filter(|one| one.starts_with(begins));
                assert_eq!(told.count(), 15, "{begins}");
            }
        } else {
            let told = told(&mut teller, &all, second);
            let expected = if second % 60 == 0 { MOST_OF_TENANTS } else { 0 };
            assert_eq!(told.len(), expected, "{second}");
            assert_eq!(teller.deadline(), Some(at(second - second % 60 + 60)));
        }
    }
    // The cluster's own policies leave a quarter to nodes as well.
    let mut teller = Teller::default();
    let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    let mut all: Vec<(Topic, &[&str])> = names
        .iter()
        .map(|name| (policy(name), &["x"][..]))
        .collect();
    assert_eq!(told(&mut teller, &all, 0).len(), MOST_OF_OTHERS);
    all.push((node("late"), &["x"]));
    assert_eq!(told(&mut teller, &all, 1), ["late: x"]);
}

#[test]
fn what_is_old_when_a_process_begins_is_no_news() {
    let one = |since| BTreeMap::from([(node("a"), matter(&["x"], Some(since)))]);
    let mut teller = Teller::default();
    assert_eq!(teller.tell(&one(at(0)), at(3_600)), []);
    assert_eq!(teller.deadline(), None);
    let mut teller = Teller::default();
    assert_eq!(teller.tell(&one(at(1)), at(3_600)).len(), 1);
    // Once it runs, the age does not matter: an agent may report late.
    let mut teller = Teller::default();
    teller.tell(&BTreeMap::new(), at(0));
    assert_eq!(teller.tell(&one(at(-90_000)), at(10)).len(), 1);
}

#[test]
fn a_clock_that_goes_back_holds_nothing_back() {
    let mut teller = Teller::default();
    told(&mut teller, &[(policy("p"), &["a"])], 100_000);
    let now = told(&mut teller, &[(policy("p"), &["a", "b"])], 0);
    assert_eq!(now, ["p: b"]);
}

#[test]
fn a_note_names_what_is_new_first_and_how_many_more_there_are() {
    let keys = ["a", "b", "c", "d", "e", "f", "g"];
    let note = words::note(&matter(&keys, None), &["g".to_owned()]);
    assert_eq!(
        note,
        "things: about g, about a, about b, about c, about d and 2 more. Mend them"
    );
    let note = words::note(&matter(&["a"], None), &["a".to_owned()]);
    assert_eq!(note, "things: about a. Mend them");
}

#[test]
fn a_note_is_never_longer_than_the_api_server_takes() {
    let long = "é\u{1b}".repeat(1_000);
    let mut matter = matter(&["a", "b", "c", "d", "e"], None);
    for item in matter.items.values_mut() {
        item.words = words::plain(&long);
    }
    matter.head = "é".repeat(900);
    let note = words::note(&matter, &[]);
    assert!(note.len() <= words::MOST_BYTES, "{}", note.len());
    assert!(note.ends_with(". Mend them") && !note.contains('\u{1b}'));
}

#[test]
fn the_table_of_docs_has_every_reason_as_it_is() {
    let text = include_str!("../../../../docs/events.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let documented: Vec<(&str, &str, &str)> =
        rows.iter().map(|row| (row[1], row[2], row[3])).collect();
    let kinds = NoticeKind::ALL.map(|kind| {
        let quoted = |word: &str| format!("`{word}`");
        (
            quoted(kind.as_str()),
            quoted(kind.severity()),
            quoted(kind.action()),
        )
    });
    let known: Vec<(&str, &str, &str)> = kinds
        .iter()
        .map(|(reason, severity, action)| (reason.as_str(), severity.as_str(), action.as_str()))
        .collect();
    assert_eq!(documented, known);
    for number in ["5 minutes", "60 a minute"] {
        assert!(text.contains(number), "{number}");
    }
    assert_eq!((PAUSE, MOST), (SignedDuration::from_mins(5), 60));
}
