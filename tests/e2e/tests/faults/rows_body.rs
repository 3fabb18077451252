//! What goes wrong in a body: its framing, its end, and its pace.

use std::time::Duration;

use diogenes_e2e::{Script, Step};

use crate::case::{Cell, Outcome, Row};
use crate::rows_before::{whole_json, whole_stream};
use crate::wire::{DONE, EVENTS, JSON, WHOLE, answer, chunk, head, json, stream, stream_head};

const CUT: &[&str] = &["upstream_cut"];
const MALFORMED: &[&str] = &["upstream_malformed"];
const STALLED: &[&str] = &["upstream_stalled"];
const EITHER: &[&str] = &["upstream_cut", "upstream_malformed"];

const HALF_JSON: &str = r#"{"id":"1","object":"chat.completion","choices":[{"index":0,"mess"#;

fn broken(codes: &'static [&'static str]) -> Outcome {
    Outcome::Broken(EVENTS, codes)
}

fn refused(codes: &'static [&'static str]) -> Outcome {
    let status = if codes == STALLED { 504 } else { 502 };
    Outcome::Refused(status, codes)
}

fn json_head(lines: &[&str]) -> String {
    let mut lines = lines.to_vec();
    lines.push("content-type: application/json");
    head("200 OK", &lines)
}

fn event_head(lines: &[&str]) -> String {
    let mut lines = lines.to_vec();
    lines.push("content-type: text/event-stream");
    head("200 OK", &lines)
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = lengths();
    rows.extend(chunks());
    rows.extend(pace());
    rows
}

fn lengths() -> Vec<Row> {
    let length = |length: usize| format!("content-length: {length}");
    vec![
        Row::new(
            "a length beyond the body",
            Cell::closes(json_head(&["content-length: 999"]) + JSON, refused(CUT)),
            Cell::closes(event_head(&["content-length: 999"]) + EVENTS, broken(CUT)),
        ),
        Row::new(
            "a length short of the body",
            Cell::sends(json_head(&[&length(HALF_JSON.len())]) + JSON, refused(EITHER)),
            Cell::sends(event_head(&[&length(EVENTS.len())]) + WHOLE, broken(CUT)),
        ),
        Row::of_plain(
            "half a JSON of the right length",
            Cell::sends(json("200 OK", HALF_JSON), refused(EITHER)),
        ),
        Row::of_plain(
            "half a JSON and a close without a length",
            Cell::closes(json_head(&[]) + HALF_JSON, refused(EITHER)),
        ),
        Row::of_plain(
            "half a JSON in whole chunks",
            Cell::sends(
                json_head(&["transfer-encoding: chunked"]) + &chunk(HALF_JSON) + "0\r\n\r\n",
                refused(EITHER),
            ),
        ),
        Row::of_plain(
            "a JSON that is cut inside its last string",
            Cell::sends(json("200 OK", r#"{"text":"a } in a text }"#), refused(EITHER)),
        ),
        Row::new(
            "a body without a length that is whole",
            Cell::closes(json_head(&[]) + JSON, whole_json()),
            Cell::closes(event_head(&[]) + WHOLE, whole_stream()),
        ),
        Row::new(
            "HTTP/1.0",
            Cell::closes(json("200 OK", JSON).replace("HTTP/1.1", "HTTP/1.0"), whole_json()),
            Cell::closes((event_head(&[]) + WHOLE).replace("HTTP/1.1", "HTTP/1.0"), whole_stream()),
        ),
        Row::of_plain(
            "white space around the JSON",
            Cell::sends(
                json("200 OK", "\r\n {\"id\":\"1\"} \n\n"),
                Outcome::Whole("\r\n {\"id\":\"1\"} \n\n".into()),
            ),
        ),
        Row::of_plain(
            "usage in a plain answer",
            Cell::sends(
                json("200 OK", r#"{"id":"1","usage":{"prompt_tokens":3,"completion_tokens":4}}"#),
                Outcome::Whole(
                    r#"{"id":"1","usage":{"prompt_tokens":3,"completion_tokens":4}}"#.into(),
                ),
            ),
        )
        .with(|cell| cell.tokens = Some((3, 4))),
        Row::new(
            "death of the process in the body",
            Cell::new(
                Script::new().send(json_head(&["content-length: 999"]) + HALF_JSON).then(Step::Die),
                refused(CUT),
            ),
            Cell::new(
                Script::new().send(stream_head() + &chunk(EVENTS)).then(Step::Die),
                broken(CUT),
            ),
        ),
        Row::new(
            "a reset in the body",
            Cell::new(
                Script::new()
                    .send(json_head(&["content-length: 999"]) + HALF_JSON)
                    .pause(50)
                    .then(Step::Reset),
                refused(CUT),
            ),
            Cell::new(
                Script::new().send(stream_head() + &chunk(EVENTS)).pause(50).then(Step::Reset),
                broken(CUT),
            ),
        ),
    ]
}

fn chunks() -> Vec<Row> {
    let json_chunked = json_head(&["transfer-encoding: chunked"]);
    let streamed = |rest: &str| stream_head() + &chunk(EVENTS) + rest;
    // What is right comes in the same packet as what is wrong.
    let wrong = |name, plain: &str, stream: &str, codes| {
        Row::new(
            name,
            Cell::closes(json_chunked.clone() + &chunk(HALF_JSON) + plain, refused(codes)),
            Cell::closes(streamed(stream), broken(codes)),
        )
    };
    vec![
        wrong("a chunk size that is not a number", "zz\r\n", "zz\r\n", MALFORMED),
        wrong("a negative chunk size", "-5\r\nhello\r\n", "-5\r\nhello\r\n", MALFORMED),
        wrong("a chunk longer than its size", "2\r\nhello\r\n", "1\r\n\n\n\n\r\n", MALFORMED),
        wrong("a chunk that is cut", "ff\r\nhello", "ff\r\n: x", CUT),
        Row::new(
            "chunks without the last one",
            Cell::closes(json_chunked.clone() + &chunk(JSON), refused(CUT)),
            Cell::closes(streamed(""), broken(CUT)),
        ),
        Row::new(
            "chunks with extensions and trailers",
            Cell::sends(
                format!(
                    "{json_chunked}{:x};a=b\r\n{JSON}\r\n0\r\nx-trailer: 1\r\n\r\n",
                    JSON.len()
                ),
                whole_json(),
            ),
            Cell::sends(
                format!("{}e;a=b\r\n{DONE}\r\n0\r\nx-trailer: 1\r\n\r\n", streamed("")),
                whole_stream(),
            ),
        ),
    ]
}

fn pace() -> Vec<Row> {
    let ms = Duration::from_millis;
    let events: Vec<_> = (0..20).map(|number| format!("data: {{\"id\":{number}}}\n\n")).collect();
    let slow_events = events.iter().fold(Script::new().send(stream_head()), |script, event| {
        script.send(chunk(event)).pause(125)
    });
    let slow_text = events.concat();
    let whole = stream(WHOLE);
    vec![
        Row::new(
            "a stall in the body",
            Cell::new(
                Script::new()
                    .send(json_head(&["content-length: 999"]) + HALF_JSON)
                    .then(Step::Silence),
                refused(STALLED),
            ),
            Cell::new(
                Script::new().send(stream_head() + &chunk(EVENTS)).then(Step::Silence),
                broken(STALLED),
            ),
        )
        .with(|cell| cell.impatient = true),
        Row::new(
            "a stall after the head",
            Cell::new(
                Script::new().send(json_head(&["content-length: 999"])).then(Step::Silence),
                refused(STALLED),
            ),
            Cell::new(
                Script::new().send(stream_head()).then(Step::Silence),
                Outcome::Broken("", STALLED),
            ),
        )
        .with(|cell| cell.impatient = true),
        // A plain answer has a time by which it must be whole, a stream one for each silence.
        Row::new(
            "a slow drip beyond the timeout",
            Cell::new(
                Script::new()
                    .send(json_head(&["content-length: 999"]))
                    .then(Step::Drip(vec![b' '; 20], ms(125)))
                    .then(Step::Silence),
                refused(STALLED),
            ),
            Cell::new(
                slow_events.send(chunk(DONE)).send("0\r\n\r\n"),
                Outcome::Whole(format!("{slow_text}{DONE}").into()),
            ),
        )
        .with(|cell| cell.impatient = true),
        Row::new(
            "one byte after the other",
            Cell::new(
                Script::new()
                    .then(Step::Drip(answer("200 OK", "application/json", JSON).into(), ms(1))),
                whole_json(),
            ),
            Cell::new(Script::new().then(Step::Drip(whole.into(), ms(1))), whole_stream()),
        ),
    ]
}
