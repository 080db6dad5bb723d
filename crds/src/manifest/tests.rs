use std::fmt::Write as _;

use super::*;

fn one(text: &str) -> Node {
    let Documents {
        documents,
        problems,
    } = parse("f.yaml", text);
    assert_eq!(problems, []);
    assert_eq!(documents.len(), 1, "{text}");
    documents.into_iter().next().unwrap().root
}

fn refused(text: &str) -> (u64, u64, String) {
    let Documents {
        documents,
        problems,
    } = parse("f.yaml", text);
    assert_eq!((documents.len(), problems.len()), (0, 1), "{text}");
    (
        problems[0].line,
        problems[0].column,
        problems[0].message.clone(),
    )
}

#[test]
fn every_field_knows_its_place() {
    let root = one("# c\na: 1\nb:\n  - x\n  - c: |\n      l1\n      l2\n    \"d.e\": {f: 2}\n");
    let place = |path| {
        let Position { line, column } = root.locate(path);
        (line, column)
    };
    assert_eq!(place(""), (2, 1));
    assert_eq!(place("b"), (3, 1));
    assert_eq!(place("b[0]"), (4, 5));
    assert_eq!(place("b[1].c"), (5, 5));
    assert_eq!(place("b[1][\"d.e\"].f"), (8, 13));
    assert_eq!(place("b[1].missing.deep"), (5, 5));
    assert_eq!(root.find("b[1].c").unwrap().as_str(), Some("l1\nl2\n"));
    assert_eq!(root.find("b[1].c").unwrap().position.line, 6);
    assert!(root.find("b[7]").is_none());
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let root = one(
        "a: yes\nb: \"yes\"\nc: 010\nd: ~\ne: 2001-01-01\nf: 1e3\ng: 2.5\nh: -3\non: off\n7: x\n",
    );
    assert_eq!(
        root.to_json(),
        serde_json::json!({
            "a": true, "b": "yes", "c": 8, "d": null, "e": "2001-01-01", "f": 1000, "g": 2.5,
            "h": -3, "true": false, "7": "x",
        })
    );
}

#[test]
fn json_is_read_with_tabs_and_escapes() {
    let root = one("{\n\t\"a\": [1, \"\\ud83d\\ude00\\/\\n\"]\n}\n");
    assert_eq!(root.to_json(), serde_json::json!({ "a": [1, "😀/\n"] }));
    assert_eq!(
        root.locate("a[1]"),
        Position {
            line: 2,
            column: 11
        }
    );
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let Documents {
        documents,
        problems,
    } = parse("f", "a: [\n---\nb: 1\n---\n---\nc: {\n---\nd: 1\n");
    let roots: Vec<_> = documents
        .iter()
        .map(|document| document.root.to_json())
        .collect();
    assert_eq!(
        roots,
        [serde_json::json!({"b": 1}), serde_json::json!({"d": 1})]
    );
    assert_eq!(documents[1].root.position.line, 8);
    assert_eq!(problems.len(), 2);
}

#[test]
fn a_list_is_taken_apart_and_other_kinds_are_not() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {a: 1}\n- {b: 2}\n";
    let documents = parse("f", text).documents;
    assert_eq!(
        documents
            .iter()
            .map(|d| d.root.position.line)
            .collect::<Vec<_>>(),
        [4, 5]
    );
    assert_eq!(
        parse("f", &text.replace("List", "AllowList"))
            .documents
            .len(),
        1
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    assert_eq!(
        refused("a: 1\nb:\n  c: 1\n  c: 2\n"),
        (
            4,
            3,
            "the key `c` stands twice in one map: remove one".to_owned()
        )
    );
    assert_eq!(
        refused("a:\n\tb: 1\n"),
        (
            2,
            2,
            "a tab in the indentation: replace it by spaces, YAML takes nothing else".to_owned()
        )
    );
    for (text, line, words) in [
        ("a: b: c\n", 1, "in quotes"),
        ("a:\n  b: 1\n c: 2\n", 3, "indentation"),
        ("a: [1, 2\nb: 3\n", 2, "brackets"),
        ("a: 'x\n", 2, "quotes"),
        ("a: \"\\q\"\n", 1, "backslash"),
        ("a: @b\n", 1, "in quotes"),
        ("a: *b\n", 1, "anchor"),
        ("a: .inf\n", 1, "infinities"),
        ("? [a]\n: b\n", 1, "a key must be a text"),
    ] {
        let (found, _, message) = refused(text);
        assert_eq!(found, line, "{message}");
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("at line"), "{message}");
    }
}

#[test]
fn aliases_and_merges_work_within_bounds() {
    let root = one("a: &x {p: 1}\nb: *x\nc:\n  <<: *x\n  q: 2\n");
    assert_eq!(root.to_json()["b"], serde_json::json!({"p": 1}));
    assert_eq!(root.to_json()["c"], serde_json::json!({"p": 1, "q": 2}));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{inner}]").unwrap();
    }
    assert!(refused(&bomb).2.contains("aliases"));
}

#[test]
fn depth_documents_and_size_are_bounded() {
    assert!(
        refused(&format!("{}{}", "[".repeat(100), "]".repeat(100)))
            .2
            .contains("nested")
    );
    assert!(parse("f", &"[".repeat(100_000)).problems.len() == 1);
    one(&format!("{}{}", "[".repeat(60), "]".repeat(60)));
    let mut block = String::new();
    for depth in 0..100 {
        writeln!(block, "{}a:", " ".repeat(depth)).unwrap();
    }
    assert!(refused(&block).2.contains("nested"));
    let large = " ".repeat(MAX_FILE + 1);
    assert_eq!(parse("f", &large).problems[0].reason, "TooLarge");
    let many = parse("f", &"---\na: 1\n".repeat(MAX_DOCUMENTS + 1));
    assert_eq!(
        (many.documents.len(), many.problems.len()),
        (MAX_DOCUMENTS, 1)
    );
}

#[test]
fn values_do_not_show_in_debug_output() {
    let root = one("a: secret\nb: 1\n");
    assert!(!format!("{root:?}").contains("secret"));
}

#[test]
fn paths_are_taken_apart() {
    let steps = parse_path("spec.authorities[0].data[\"cosign.pub\"]");
    let key = |key: &str| Step::Key(key.to_owned());
    let expected = [
        key("spec"),
        key("authorities"),
        Step::Index(0),
        key("data"),
        key("cosign.pub"),
    ];
    assert_eq!(steps, expected);
    assert_eq!(parse_path(""), []);
}

#[test]
fn a_key_stands_once_whatever_its_type() {
    for (text, place, key) in [
        ("1: a\n\"1\": b\n", (2, 1), "1"),
        ("a:\n  - {on: a, \"true\": b}\n", (2, 13), "true"),
        ("x: &x {1: a}\nb:\n  <<: *x\n  \"1\": b\n", (3, 7), "1"),
    ] {
        let message = format!("the key `{key}` stands twice in one map: remove one");
        assert_eq!(refused(text), (place.0, place.1, message), "{text}");
    }
    let problem = &parse("f", "1: a\n\"1\": b\n").problems[0];
    assert_eq!(problem.reason, "DuplicateKey");
}

#[test]
fn texts_in_base64_are_refused_however_the_tag_is_written() {
    for (text, line) in [
        ("mode: Enforce\n!!binary bW9kZQ==: Audit\n", 2),
        ("a:\n  b: !!binary bW9kZQ==\n", 2),
        ("a: !<tag:yaml.org,2002:binary> bW9kZQ==\n", 1),
        (
            "%TAG !y! tag:yaml.org,2002:\n---\na: !y!binary bW9kZQ==\n",
            3,
        ),
        ("a: !!b%69nary bW9kZQ==\n", 1),
        ("a:\n  - &x !!binary bW9kZQ==\nb: *x\n", 2),
        ("- !!binary /w==\n", 1),
        ("- !!binary\n", 1),
        ("- !binary bW9kZQ==\n", 1),
    ] {
        let (found, _, message) = refused(text);
        assert_eq!(
            (found, message.as_str()),
            (line, super::read::BINARY),
            "{text}"
        );
    }
    let other = one("a: !!str 1\nb: !own x\n!!str c: 2\n");
    assert_eq!(
        other.to_json(),
        serde_json::json!({ "a": "1", "b": "x", "c": 2 })
    );
}

#[test]
fn a_stream_without_content_is_told_from_one_with_some() {
    for text in ["", "\u{feff}\n", "# a\n---\n  # b\n...\n"] {
        assert!(holds_nothing(text), "{text}");
    }
    for text in ["a", "--- a", "# a\nb: 1\n"] {
        assert!(!holds_nothing(text), "{text}");
    }
}
