use serde_json::{Value, json};

use crate::fake::{Fake, Program};

const NO_MODEL: &str = r#"{"error": {"message": "model `x` is not registered", "type": "not_found_error", "param": "model", "code": "model_not_found"}}"#;

#[test]
fn an_error_has_the_form_that_results_have() {
    let server = Fake::answering(404, NO_MODEL);
    for arguments in [["model", "show", "x", "-o", "json"], ["-o", "json", "model", "show", "x"]] {
        let done = Program::new(&arguments).env("DIOGENES_URL", &server.url).run();
        assert_eq!((done.code, done.output.as_str()), (6, ""));
        let error: Value = serde_json::from_str(&done.error).unwrap();
        assert_eq!(
            error,
            json!({"error": {"message": "model `x` is not registered", "kind": "not_found",
                "exit_code": 6, "code": "model_not_found", "request_id": null}})
        );
    }
    let done =
        Program::new(&["model", "show", "x", "-o", "yaml"]).env("DIOGENES_URL", &server.url).run();
    assert!(done.error.starts_with("error:\n") && done.error.contains("  code: model_not_found\n"));
    let done = Program::new(&["-v", "model", "show", "x"]).env("DIOGENES_URL", &server.url).run();
    assert_eq!(done.error, "error: model `x` is not registered (code `model_not_found`)\n");
}

#[test]
fn a_wrong_command_line_is_json_too_where_that_is_asked_for() {
    let done = Program::new(&["chat", "-o", "json"]).run();
    assert_eq!(done.code, 2);
    let error: Value = serde_json::from_str(&done.error).unwrap();
    assert_eq!(
        error,
        json!({"error": {"kind": "config", "exit_code": 2,
            "message": "the following required arguments were not provided: <MODEL>"}})
    );
}

#[test]
fn options_with_variables_are_not_shown_as_required() {
    let done = Program::new(&["chat", "--temperature", "1"])
        .env("DIOGENES_URL", "http://127.0.0.1:1")
        .env("DIOGENES_DATA_DIR", "/tmp")
        .run();
    assert_eq!(done.code, 2);
    let usage = done.error.lines().find(|line| line.starts_with("Usage:")).unwrap();
    assert_eq!(usage, "Usage: diogenes chat [OPTIONS] <MODEL> [PROMPT]...");
}

#[test]
fn https_against_a_port_without_tls_is_explained() {
    let server = Fake::answering(200, "{}");
    let url = server.url.replace("http:", "https:");
    let done = Program::new(&["ps", "--url", &url]).run();
    assert_eq!(done.code, 4);
    assert!(
        done.error.contains("does not speak TLS") && done.error.contains(&server.url),
        "{}",
        done.error
    );
}

#[test]
fn a_host_that_is_not_known_is_told_from_one_that_refuses() {
    let refused = Program::new(&["ps", "--url", "http://127.0.0.1:1"]).run();
    assert_eq!(refused.code, 4);
    assert!(refused.error.contains("no Diogenes answers at http://127.0.0.1:1; "), "{refused:?}");
    let unknown = Program::new(&["ps", "--url", "http://nowhere.invalid"]).run();
    assert_eq!(unknown.code, 4);
    assert!(unknown.error.contains("http://nowhere.invalid ("), "{unknown:?}");
}

#[test]
fn a_terminal_gets_no_control_characters_of_an_error() {
    let error = r#"{"error": {"message": "out of memory\u001b]0;owned\u0007", "type": "t", "param": null, "code": "upstream_error"}}"#;
    let server = Fake::answering(502, error);
    let show = || Program::new(&["model", "show", "x", "--url", &server.url]);
    assert_eq!(show().complaint(), "error: out of memory\\u001b]0;owned\\u0007\r\n");
    assert_eq!(show().run().error, "error: out of memory\u{1b}]0;owned\u{7}\n");
}

#[test]
fn what_cannot_be_undone_is_confirmed() {
    let server = Fake::answering(200, "{}");
    for (arguments, what) in [
        (["project", "archive", "search"], "archiving `search`"),
        (["model", "delete", "demo"], "deleting `demo`"),
    ] {
        let done = Program::new(&arguments).with(&["--url", &server.url]).run();
        let error = format!("error: {what} has to be confirmed; without a terminal, use --yes\n");
        assert_eq!((done.code, done.error), (2, error));
        assert!(server.asked().is_empty());
        let done = Program::new(&arguments).with(&["--url", &server.url, "--yes"]).run();
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(server.asked().len(), 1);
        server.forget();
    }
}

#[test]
fn a_value_that_cannot_be_read_is_explained() {
    for (arguments, text) in [
        (
            ["logs", "demo", "--lines", "x"],
            "invalid value 'x' for '--lines <N>': is not a number; use digits, such as `100`",
        ),
        (
            ["audit", "--limit=5", "--since", "yesterday"],
            "invalid value 'yesterday' for '--since <TIME>': is not a time; use `2026-11-27`, \
             `2026-11-27T08:00:00Z`, or how long ago, such as `2h` or `7d`",
        ),
    ] {
        let done = Program::new(&arguments).run();
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.error.starts_with(&format!("error: {text}\n")), "{}", done.error);
    }
}

#[test]
fn a_wrong_variable_is_named_and_an_empty_one_is_none() {
    let wrong = "is not a duration; use `30s`, `10m`, `1h 30m` or `7d`";
    let said = |program: Program| {
        let done = program.env("DIOGENES_DRAIN_TIMEOUT", "soon").run();
        assert_eq!(done.code, 2, "{done:?}");
        done.error.lines().next().unwrap().to_owned()
    };
    assert_eq!(
        said(Program::new(&["serve"])),
        format!("error: invalid value 'soon' for 'DIOGENES_DRAIN_TIMEOUT': `soon` {wrong}")
    );
    assert_eq!(
        said(Program::new(&["serve", "--drain-timeout=never"])),
        format!("error: invalid value 'never' for '--drain-timeout <DURATION>': `never` {wrong}")
    );
    let doctor =
        Program::new(&["doctor", "-o", "json"]).env("DIOGENES_DRAIN_TIMEOUT", "soon").run();
    let report: Value = serde_json::from_str(&doctor.output).unwrap();
    assert_eq!(
        report["checks"][0]["detail"],
        format!("invalid value 'soon' for 'DIOGENES_DRAIN_TIMEOUT': `soon` {wrong}")
    );
    let server = Fake::answering(200, r#"{"data": []}"#);
    let mut program = Program::new(&["ps", "--url", &server.url]);
    for name in ["DIOGENES_DATA_DIR", "DIOGENES_CONFIG", "DIOGENES_DRAIN_TIMEOUT", "HOME"] {
        program = program.env(name, "");
    }
    assert_eq!(program.run().code, 0);
    let mut program = Program::new(&["serve", "--listen", "256.0.0.1:1"]);
    for name in ["DIOGENES_LISTEN", "DIOGENES_ON_SHUTDOWN", "DIOGENES_MAX_BODY_BYTES"] {
        program = program.env(name, "");
    }
    let done = program.run();
    assert!(done.error.contains("'--listen <HOST:PORT>'"), "{done:?}");
}

#[test]
fn a_model_that_is_not_registered_is_told_by_ps() {
    let server = Fake::answering(200, r#"{"data": [{"model": "demo", "aliases": ["short"]}]}"#);
    let ps = |name| Program::new(&["ps", name, "--url", &server.url]).run();
    for (name, hint) in [("NOPE", ""), ("dmeo", "; did you mean `demo`?")] {
        let done = ps(name);
        let error = format!(
            "error: model `{name}` is not registered{hint}; `diogenes model list` shows those that are\n"
        );
        assert_eq!((done.code, done.error), (6, error));
    }
}
