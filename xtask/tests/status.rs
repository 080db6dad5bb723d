//! `docs/status.md` names only what exists.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;
use std::path::Path;

#[test]
fn every_test_and_command_that_the_status_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/status.md")).unwrap();
    let mut named = 0;
    let mut missing = Vec::new();
    for code in page.split('`').skip(1).step_by(2) {
        if let Some(command) = code.strip_prefix("cargo xtask ") {
            let word = command.split(' ').next().unwrap();
            let known = ["peers", "demo", "test", "generate", "bench"];
            if !known.contains(&word) {
                missing.push(code.to_owned());
            }
            named += 1;
        } else if let Some((file, test)) = code.split_once(": ") {
            let text = fs::read_to_string(root.join(file)).unwrap_or_default();
            if !text.contains(&format!("fn {test}(")) {
                missing.push(code.to_owned());
            }
            named += 1;
        } else if code.contains('/') && !root.join(code).exists() {
            missing.push(code.to_owned());
        }
    }
    assert!(
        missing.is_empty(),
        "docs/status.md names what does not exist: {missing:#?}"
    );
    assert!(
        named > 50,
        "the page is not read as it is written: {named} names found"
    );
}
