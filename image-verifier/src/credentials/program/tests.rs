use std::os::unix::fs::PermissionsExt as _;

use super::super::testing;
use super::*;

struct Script(tempfile::TempDir);

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        testing::script(&folder.path().join("program"), text);
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("program")
    }

    fn mode(&self, mode: u32) {
        std::fs::set_permissions(self.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    async fn run(&self, input: &[u8], seconds: u64) -> Result<Vec<u8>, ProgramError> {
        let program = Program::new(self.path(), &Environment::default())?;
        let program = program.arguments(["get".to_owned()]);
        let program = program.variables([("OWN".to_owned(), "value".to_owned())]);
        program.run(input, Duration::from_secs(seconds)).await
    }
}

#[tokio::test]
async fn a_program_gets_its_input_arguments_and_a_clean_environment() {
    let script = Script::new("read -r line; echo \"$line $1 $OWN $HOME ${CARGO:-none} $PATH\"");
    let answer = script.run(b"hello\n", 10).await.unwrap();
    let expected = format!("hello get value /root none {PATH}\n");
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

#[tokio::test]
async fn input_that_is_not_read_is_no_failure() {
    let script = Script::new("exec 0<&-; echo answer");
    let answer = script.run(&vec![b'x'; 1 << 20], 10).await.unwrap();
    assert_eq!(answer, b"answer\n");
}

#[tokio::test]
async fn a_failure_tells_how_it_ended_and_what_it_complains_about_on_a_desk_alone() {
    let script = Script::new("echo hunter2; echo 'no role' >&2; exit 3");
    let error = script.run(b"", 10).await.unwrap_err();
    let on_node = error.told(&Environment::default());
    assert!(
        on_node.ends_with("/program failed (exit status: 3)"),
        "{on_node}"
    );
    assert_eq!(on_node, error.to_string());
    let on_desk = error.told(&Environment::of_desk([]));
    assert_eq!(on_desk, format!("{on_node}: no role"));
    assert!(!on_desk.contains("hunter2"), "{on_desk}");
}

#[tokio::test]
async fn a_program_that_hangs_or_floods_is_given_up() {
    let hangs = Script::new("exec 1>&-; while :; do read -r x; done");
    let error = hangs.run(b"", 1).await;
    assert!(
        matches!(error, Err(ProgramError::TimedOut { .. })),
        "{error:?}"
    );
    let floods = Script::new("while :; do echo 0123456789012345678901234567890123456789; done");
    let error = floods.run(b"", 60).await;
    assert!(
        matches!(error, Err(ProgramError::TooLong { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_program_that_others_can_write_or_nobody_can_run_is_not_run() {
    for (mode, part) in [(0o777, "others than root"), (0o644, "not an executable")] {
        let script = Script::new("echo");
        script.mode(mode);
        let error = script.run(b"", 10).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let missing = Program::new("/nonexistent/x".into(), &Environment::default());
    assert!(missing.unwrap_err().to_string().contains("/nonexistent/x"));
}

#[tokio::test]
async fn a_program_of_a_desk_gets_the_users_environment() {
    let script = Script::new("echo \"$HOME $PATH $TOKEN ${HTTPS_PROXY:-none}\"");
    let variables = [
        ("HOME", "/home/u"),
        ("PATH", "/bin:/home/u/bin"),
        ("TOKEN", "t"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let desk = Environment::of_desk(variables.clone());
    let node = Environment::from_variables(variables);
    for (environment, wanted) in [
        (desk, "/home/u /bin:/home/u/bin t none\n".to_owned()),
        (node, format!("/root {PATH}  none\n")),
    ] {
        let program = Program::new(script.path(), &environment).unwrap();
        let answer = program.run(b"", Duration::from_secs(10)).await.unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), wanted);
    }
}

#[test]
fn programs_are_searched_by_bare_names_alone() {
    let node = Environment::default();
    let path = search_path(&node);
    assert_eq!(path, PATH);
    assert!(search("sh", path, Path::new("/")).is_some());
    for name in ["", "../bin/sh", "/bin/sh", "no-such-program"] {
        assert_eq!(search(name, path, Path::new("/")), None, "{name}");
    }
}

#[test]
fn a_desks_programs_are_searched_where_the_user_has_them() {
    let script = Script::new("echo");
    let path = |text: String| Environment::of_desk([("PATH".into(), text.into())]);
    let root = Path::new("/");
    let own = path(format!("bin::.:{}:/bin", script.0.path().display()));
    let found = search("program", search_path(&own), root);
    assert_eq!(found, Some(script.path()));
    assert!(search("sh", search_path(&own), root).is_some());
    let other = path("/bin".to_owned());
    assert_eq!(search("program", search_path(&other), root), None);
    // Without a PATH it is the usual one.
    assert_eq!(search_path(&Environment::of_desk([])), PATH);
}
