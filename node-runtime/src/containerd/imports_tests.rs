use super::*;

const GLOB: &str = "/etc/containerd/conf.d/*.toml";

fn edited(root: &str) -> String {
    imports_edit(Some(root), GLOB, 3).unwrap().unwrap()
}

#[test]
fn a_missing_or_empty_root_file_becomes_a_minimal_one() {
    let minimal = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    assert_eq!(imports_edit(None, GLOB, 3).unwrap().unwrap(), minimal);
    assert_eq!(edited(""), minimal);
    assert_eq!(edited("# mine\n"), format!("{minimal}# mine\n"));
    let of_4 = imports_edit(None, GLOB, 4).unwrap().unwrap();
    assert!(of_4.starts_with("version = 4\n"));
}

#[test]
fn a_root_file_without_imports_gets_the_line_at_its_top_level() {
    assert_eq!(
        edited(
            "# head\nversion = 2 # two\noom_score = 0\n\n# of plugins\n[plugins.'a']\n  x = 1 # one\n"
        ),
        "# head\nversion = 2 # two\noom_score = 0\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n\n\
         # of plugins\n[plugins.'a']\n  x = 1 # one\n"
    );
    let only_tables = edited("# head\n[plugins.'a']\nx = 1\n");
    let document: DocumentMut = only_tables.parse().unwrap();
    assert!(document["imports"].is_array(), "{only_tables}");
    assert!(
        only_tables.contains("# head\n[plugins.'a']\nx = 1\n"),
        "{only_tables}"
    );
}

#[test]
fn an_array_on_one_line_is_continued() {
    for (before, after) in [
        ("imports = []\n", "imports = [\"G\"]\n"),
        ("imports = ['a'] # c\n", "imports = ['a', \"G\"] # c\n"),
        (
            "imports = [ \"a\", \"b\" ]\n",
            "imports = [ \"a\", \"b\", \"G\" ]\n",
        ),
        ("imports = [\"a\",]\n", "imports = [\"a\", \"G\",]\n"),
        ("Imports = ['a']\n", "Imports = ['a', \"G\"]\n"),
    ] {
        assert_eq!(edited(before), after.replace('G', GLOB), "{before}");
    }
}

#[test]
fn an_array_on_many_lines_keeps_its_comments_and_indent() {
    for (before, after) in [
        (
            "imports = [\n    'a', # first\n    # second\n    'b', # last\n]\nversion = 2\n",
            "imports = [\n    'a', # first\n    # second\n    'b', # last\n    \"G\",\n]\nversion = 2\n",
        ),
        (
            "imports = [\n  'a'\n]\n",
            "imports = [\n  'a',\n  \"G\"\n]\n",
        ),
        (
            "imports = [\n\t'a' # last\n\t]\n",
            "imports = [\n\t'a', # last\n\t\"G\"\n\t]\n",
        ),
        ("imports = [\n]\n", "imports = [\n  \"G\"\n]\n"),
        (
            "imports = [\n  # none\n]\n",
            "imports = [\n  # none\n  \"G\"\n]\n",
        ),
    ] {
        let text = edited(before);
        assert_eq!(text, after.replace('G', GLOB), "{before}");
        let document: DocumentMut = text.parse().unwrap();
        let last = document["imports"]
            .as_array()
            .unwrap()
            .iter()
            .last()
            .unwrap();
        assert_eq!(last.as_str(), Some(GLOB));
    }
}

#[test]
fn an_entry_that_is_there_is_no_edit_and_a_wrong_shape_is_refused() {
    let there = format!("version = 2\nimports = ['a', '{GLOB}']\n");
    assert_eq!(imports_edit(Some(&there), GLOB, 3).unwrap(), None);
    let wrong = |text| imports_edit(Some(text), GLOB, 3).unwrap_err();
    assert!(matches!(wrong("imports = 'a'"), ImportsError::Shape));
    assert!(matches!(wrong("imports = "), ImportsError::Toml(_)));
}

#[test]
fn what_is_imported_is_told_as_containerd_expands_it() {
    let path = "/etc/containerd/conf.d/zz-nodeseal.toml";
    let covers =
        |entry: &str| is_imported(&[entry.to_owned()], "/etc/containerd/config.toml", path);
    for entry in [
        GLOB,
        "conf.d/*.toml",
        "./conf.d/zz-*",
        "/etc/*/conf.d/*.toml",
        "/etc/containerd/conf.d/zz-nodeseal.toml",
        "/etc/containerd/../containerd//conf.d/*",
    ] {
        assert!(covers(entry), "{entry}");
    }
    for entry in [
        "/etc/containerd/*.toml",
        "conf.d/?.toml",
        "conf.d/*.tom",
        "[*",
        "/etc/**.toml",
    ] {
        assert!(!covers(entry), "{entry}");
    }
}

#[test]
fn a_diff_is_short_and_bounded() {
    let old = "version = 2\n[plugins]\n";
    let text = diff("/etc/containerd/config.toml", old, &edited(old));
    assert_eq!(
        text,
        "--- /etc/containerd/config.toml\n+++ /etc/containerd/config.toml\n@@ -1,2 +1,3 @@\n version = 2\n\
         +imports = [\"/etc/containerd/conf.d/*.toml\"]\n [plugins]\n"
    );
    let many = "x\n".repeat(1_000);
    let text = diff("/f", "", &many);
    assert_eq!(text.lines().count(), 2 + MAX_DIFF_LINES + 1);
    assert!(text.ends_with("… and 961 lines more\n"), "{text}");
    let long = "y".repeat(1_000);
    assert!(diff("/f", "", &long).len() < 300);
}
