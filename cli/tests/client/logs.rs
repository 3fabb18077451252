use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use axum::http::StatusCode;

use crate::fake::{Fake, Program};

const LOGS: &str = "/api/v1/cluster/logs";

fn page(claim: &str, text: &str) -> (StatusCode, String) {
    let page = serde_json::json!({"claim": claim, "text": text, "next_offset": text.len()});
    (StatusCode::OK, page.to_string())
}

#[test]
fn a_followed_log_survives_a_restart_of_the_server() {
    // An address of its own: no other test is given the port between the two servers.
    let whole = (
        "/api/v1/cluster/logs?model=demo&claim=first&offset=8&max_bytes=1048576",
        page("first", ""),
    );
    let answers = [(LOGS, page("first", "booting\n")), whole.clone()];
    let first = Fake::listening("127.0.0.95:0", answers, 404, "{}");
    let address = first.url.replace("http://", "");
    let mut program = Program::new(&["logs", "demo", "--follow", "--url", &first.url]);
    let child = program.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(output.next().as_deref(), Some("booting"));
    drop(first);
    let waits = notes.find(|note| note.contains("waiting for the server"));
    assert!(waits.is_some(), "it ended with {:?}", child.wait());
    let _second = Fake::listening(&address, [(LOGS, page("second", "again\n")), whole], 404, "{}");
    assert_eq!(output.next().as_deref(), Some("again"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_terminal_gets_the_colours_of_a_log_and_no_other_control_characters() {
    let text = "\u{1b}[32mINFO\u{1b}[0m up\u{1b}[1A\n";
    let server = Fake::with([(LOGS, &*page("first", text).1)], 404, "{}");
    let logs = || Program::new(&["logs", "demo", "--url", &server.url]);
    assert_eq!(logs().shown(), "\u{1b}[32mINFO\u{1b}[0m up\\u001b[1A\r\n");
    assert_eq!(logs().run().output, text);
}

#[test]
fn a_log_that_is_not_of_the_last_start_says_so_and_an_empty_one_too() {
    let page = |text: &str, failure: &[(&str, &str)]| {
        let mut page = serde_json::json!({"claim": "first", "text": text, "next_offset": 0});
        for (name, value) in failure {
            page[name] = (*value).into();
        }
        page.to_string()
    };
    for (answer, output, note) in [
        (
            page("up\n", &[("failure", "`vllm` was not found")]),
            "up\n",
            "--- that is the log of an earlier replica: since then `demo` could not be started: \
             `vllm` was not found\n",
        ),
        (page("", &[]), "", "--- the log is empty: the inference server has printed nothing\n"),
        (page("up\n", &[]), "up\n", ""),
    ] {
        let server = Fake::with([(LOGS, &*answer)], 404, "{}");
        let done = Program::new(&["logs", "demo", "--url", &server.url]).run();
        assert_eq!((done.code, &*done.output, &*done.error), (0, output, note));
    }
}
