//! The program as a newcomer meets it. That there is a test here also has `cargo test` build the
//! program, which the end-to-end tests drive.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::process::{Command, Output};

fn diogenes(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_diogenes"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_names_every_exit_code_and_variable() {
    let output = diogenes(&["--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    for part in ["Exit codes:", "  9  ", "DIOGENES_URL", "DIOGENES_API_KEY", "DIOGENES_LOG"] {
        assert!(help.contains(part), "{part} is missing:\n{help}");
    }
}

#[test]
fn every_command_has_examples() {
    let help = diogenes(&["--help"]);
    let commands =
        text(&help.stdout).split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let mut count = 0;
    for name in names.filter(|name| *name != "help") {
        let output = diogenes(&[name, "--help"]);
        assert!(output.status.success(), "{name}");
        assert!(text(&output.stdout).contains("Examples:"), "`{name} --help` has no examples");
        count += 1;
    }
    assert!(count >= 10, "{count} commands");
}

#[test]
fn an_unknown_flag_exits_with_2() {
    let output = diogenes(&["ps", "--nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--nonsense"));
}
