use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use crate::fake::{Fake, Program, terminal};

const ANSWER: &str = r#"{"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}"#;
const NO_MODEL: &str = r#"{"error": {"message": "model `demoo` is not registered; did you mean `demo`?", "type": "not_found_error", "param": "model", "code": "model_not_found"}}"#;

fn asked(server: &Fake) -> String {
    let body: Value = serde_json::from_str(&server.bodies()[0]).unwrap();
    body["messages"][0]["content"].as_str().unwrap().to_owned()
}

#[test]
fn piped_input_is_added_to_the_question() {
    for (words, input, expected) in [
        (vec!["Sum up"], "one\ntwo\n", "Sum up\n\none\ntwo"),
        (vec![], "one\ntwo\n", "one\ntwo"),
        (vec!["-"], "one", "one"),
        (vec!["Sum", "up"], "", "Sum up"),
    ] {
        let server = Fake::answering(200, ANSWER);
        let done = Program::new(&["chat", "demo", "--url", &server.url]).with(&words).piped(input);
        assert_eq!((done.code, done.output.as_str()), (0, "Hi.\n"), "{done:?}");
        assert_eq!(asked(&server), expected);
    }
}

#[test]
fn an_unknown_model_is_told_before_the_conversation() {
    let server = Fake::answering(404, NO_MODEL);
    let (_terminal, side) = terminal();
    let mut program = Program::new(&["chat", "demoo", "--url", &server.url]);
    let child = program.command.stdin(side).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6), "{error}");
    assert_eq!(error, "error: model `demoo` is not registered; did you mean `demo`?\n");
    assert_eq!(server.asked(), ["GET /v1/models/demoo"]);
}

#[test]
fn a_terminal_gets_no_control_characters_of_an_answer_and_a_pipe_gets_all() {
    let answer = r#"{"choices": [{"message": {"role": "assistant", "content": "a\u001b[2Jb\u009bc\r\td"}, "finish_reason": "stop"}]}"#;
    let server = Fake::answering(200, answer);
    let chat = || Program::new(&["chat", "demo", "Hello", "--url", &server.url]);
    // A terminal begins each line anew by itself.
    assert_eq!(chat().shown(), "a[2Jbc\r\n\td\r\n");
    assert_eq!(chat().run().output, "a\u{1b}[2Jb\u{9b}c\r\td\n");
}
