use serde_json::{Value, json};

use crate::fake::{Fake, Program};

const ANSWER: &str = r#"{"object": "list", "model": "bge", "data": [
    {"object": "embedding", "index": 1, "embedding": [0.5, 1]},
    {"object": "embedding", "index": 0, "embedding": [0.25, -1]}]}"#;

#[test]
fn texts_are_sent_in_one_request_and_shown_in_their_order() {
    for (arguments, input) in [
        (vec!["one", "two"], ""),
        (vec![], "one\ntwo\n"),
        (vec!["-", "--dimensions", "2"], "one\ntwo"),
    ] {
        let server = Fake::answering(200, ANSWER);
        let done =
            Program::new(&["embed", "bge", "--url", &server.url]).with(&arguments).piped(input);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(
            done.output,
            "TEXT  DIMENSIONS  EMBEDDING\none   2           0.2500 -1.0000\ntwo   2           0.5000 1.0000\n"
        );
        assert!(done.error.contains("`-o json` prints all of them"), "{done:?}");
        assert_eq!(server.asked(), ["POST /v1/embeddings"]);
        let body: Value = serde_json::from_str(&server.bodies()[0]).unwrap();
        let mut expected = json!({"model": "bge", "input": ["one", "two"]});
        if arguments.contains(&"--dimensions") {
            expected["dimensions"] = json!(2);
        }
        assert_eq!(body, expected);
    }
}

#[test]
fn the_whole_answer_is_json() {
    let server = Fake::answering(200, ANSWER);
    let done = Program::new(&["embed", "bge", "a", "b", "-o", "json", "--url", &server.url]).run();
    let [answer, expected] =
        [&done.output, ANSWER].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert_eq!((done.code, answer, done.error.as_str()), (0, expected, ""));
}

#[test]
fn what_cannot_be_embedded_is_refused_before_the_server_is_asked() {
    let server = Fake::answering(200, ANSWER);
    let embed = || Program::new(&["embed", "bge", "--url", &server.url]);
    for (done, text) in [
        (embed().piped("a\n\n"), "line 2 of standard input is empty"),
        (embed().piped(""), "standard input is empty"),
        (embed().with(&["a", ""]).run(), "text 2 is empty"),
        (embed().with(&["a", "--dimensions", "0"]).run(), "'--dimensions <N>': must be at least 1"),
        (embed().with(&["a", "--dimensions", "x"]).run(), "is not a number"),
    ] {
        assert!(done.code == 2 && done.error.contains(text), "{text}: {done:?}");
    }
    assert!(server.asked().is_empty());
}

#[test]
fn what_is_wrong_with_the_answer_has_its_exit_code() {
    const NO_MODEL: &str =
        r#"{"error": {"message": "model `bge` is not registered", "code": "model_not_found"}}"#;
    for (status, answer, code, text) in [
        (404, NO_MODEL, 6, "model `bge` is not registered"),
        (200, r#"{"choices": []}"#, 1, "is not a list of embeddings"),
        (200, ANSWER, 1, "2 of them for 1 texts"),
    ] {
        let server = Fake::answering(status, answer);
        let done = Program::new(&["embed", "bge", "a", "--url", &server.url]).run();
        assert!(done.code == code && done.error.contains(text), "{text}: {done:?}");
    }
}
