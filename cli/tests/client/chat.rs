use std::io::Read as _;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::fake::{Fake, Program};

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
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side = std::fs::File::options().read(true).write(true).open(name).unwrap();
    let mut program = Program::new(&["chat", "demoo", "--url", &server.url]);
    let child = program.command.stdin(side).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6), "{error}");
    assert_eq!(error, "error: model `demoo` is not registered; did you mean `demo`?\n");
    assert_eq!(server.asked(), ["GET /v1/models/demoo"]);
}
