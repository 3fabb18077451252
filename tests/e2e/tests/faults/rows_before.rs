//! What goes wrong before the head of an answer, or in it.

use std::time::Duration;

use diogenes_e2e::{Script, Step};

use crate::case::{Cell, Outcome, Row};
use crate::wire::{JSON, WHOLE, head, json, stream, stream_head};

const UNREACHABLE: Outcome = Outcome::Refused(502, &["upstream_unreachable"]);
const TOO_LARGE: &str = r#"{"error":{"message":"too large","type":"x","code":413}}"#;

const MALFORMED: Outcome = Outcome::Refused(502, &["upstream_malformed"]);
const STALLED: Outcome = Outcome::Refused(504, &["upstream_stalled"]);
/// The connection ends before the head does; a reset may take with it what came before.
const BEGUN: Outcome = Outcome::Refused(502, &["upstream_malformed", "upstream_unreachable"]);

pub(crate) fn whole_json() -> Outcome {
    Outcome::Whole(JSON.into())
}

pub(crate) fn whole_stream() -> Outcome {
    Outcome::Whole(WHOLE.into())
}

/// The right answers, in two forms.
fn both(plain: impl Fn(&str) -> Script, name: &'static str) -> Row {
    let streamed = stream(WHOLE);
    Row::new(
        name,
        Cell::new(plain(&json("200 OK", JSON)), whole_json()),
        Cell::new(plain(&streamed), whole_stream()),
    )
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = connections();
    rows.extend(heads());
    rows.extend(requests());
    rows
}

fn connections() -> Vec<Row> {
    let refuse = Step::Refuse(Duration::from_millis(300));
    let refuses = Script::new().then(refuse).send(json("200 OK", JSON)).close();
    let closes = Script::new().send(json("200 OK", JSON)).close();
    vec![
        both(|answer| Script::new().send(answer), "nothing is wrong"),
        both(|answer| Script::new().send(answer), "refused connections")
            .with(|cell| cell.before = Some(refuses.clone()))
            .never_held(),
        both(|answer| Script::new().send(answer), "a connection that was closed while idle")
            .with(|cell| cell.before = Some(closes.clone()))
            .never_held(),
        Row::alike("reset at once", Cell::new(Script::new().then(Step::Reset), UNREACHABLE)),
        Row::alike("closed without a byte", Cell::new(Script::new().close(), UNREACHABLE)),
        Row::alike(
            "death of the process without a byte",
            Cell::new(Script::new().then(Step::Die), UNREACHABLE),
        ),
        Row::alike("stall before the head", Cell::new(Script::new().then(Step::Silence), STALLED))
            .with(|cell| cell.impatient = true),
        both(
            |answer| {
                let (begin, rest) = answer.as_bytes().split_at(60);
                Script::new().then(Step::Drip(begin.into(), Duration::from_millis(2))).send(rest)
            },
            "a head that drips",
        ),
        both(|answer| Script::new().send(answer).send(answer), "two responses in one write"),
        both(|answer| Script::new().send(answer).send("garbage"), "garbage behind the answer"),
    ]
}

fn heads() -> Vec<Row> {
    let long = Script::new()
        .send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-long: ")
        .then(Step::Repeat(vec![b'x'; 1000], 100))
        .send("\r\ncontent-length: 2\r\n\r\n{}");
    let many = Script::new()
        .send("HTTP/1.1 200 OK\r\n")
        .then(Step::Repeat(b"x-many: 1\r\n".into(), 200))
        .send("content-length: 2\r\n\r\n{}");
    let length = |lines: &[&str]| {
        let mut lines = lines.to_vec();
        lines.push("content-type: application/json");
        Cell::closes(head("200 OK", &lines) + JSON, MALFORMED)
    };
    vec![
        Row::alike("half a head", Cell::closes("HTTP/1.1 200 OK\r\ncontent-le", MALFORMED)),
        Row::alike("half a status line", Cell::closes("HTTP/1.", MALFORMED)),
        Row::alike(
            "half a head and a reset",
            Cell::new(
                Script::new().send("HTTP/1.1 200 OK\r\ncontent-le").pause(50).then(Step::Reset),
                BEGUN,
            ),
        ),
        Row::alike("a garbage head", Cell::closes("220 smtp ready\r\n\r\n", MALFORMED)),
        Row::alike("a TLS alert", Cell::closes(b"\x15\x03\x01\x00\x02\x02\x46", MALFORMED)),
        Row::alike("a head that is too large", Cell::new(long.close(), MALFORMED)),
        Row::alike("too many headers", Cell::new(many.close(), MALFORMED)),
        Row::alike("a status beyond 599", Cell::closes(json("999 Odd", JSON), MALFORMED)),
        Row::alike(
            "an interim response, then the end",
            Cell::closes("HTTP/1.1 100 Continue\r\n\r\n", BEGUN),
        ),
        both(
            |answer| Script::new().send(format!("HTTP/1.1 100 Continue\r\n\r\n{answer}")),
            "an interim response, then the answer",
        ),
        Row::alike(
            "a switch of protocols",
            Cell::closes(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
                MALFORMED,
            ),
        ),
        Row::alike("two lengths", length(&["content-length: 5", "content-length: 60"])),
        Row::alike("a negative length", length(&["content-length: -1"])),
        Row::alike("a length that is not a number", length(&["content-length: many"])),
        Row::alike(
            "a length and chunks",
            length(&["content-length: 5", "transfer-encoding: chunked"]),
        ),
        Row::alike("an unknown transfer coding", length(&["transfer-encoding: gzip"])),
        Row::new(
            "a reset after the head",
            Cell::new(
                Script::new()
                    .send(head("200 OK", &["content-type: application/json", "content-length: 9"]))
                    .pause(50)
                    .then(Step::Reset),
                Outcome::Refused(502, &["upstream_cut"]),
            ),
            Cell::new(
                Script::new().send(stream_head()).pause(50).then(Step::Reset),
                Outcome::Broken("", &["upstream_cut"]),
            ),
        ),
    ]
}

/// Answers that do not wait for the request.
fn requests() -> Vec<Row> {
    let early = |answer: &str| {
        Script::early()
            .send(answer)
            .then(Step::Finish)
            .then(Step::Pause(Duration::from_millis(200)))
    };
    vec![
        Row::alike(
            "an early 413",
            Cell::new(
                early(&json("413 Content Too Large", TOO_LARGE)).close(),
                Outcome::Passed(413, TOO_LARGE),
            ),
        )
        .with(|cell| cell.request_bytes = 6 << 20),
        Row::alike(
            "an early 413 and a reset",
            Cell::new(
                early(&json("413 Content Too Large", TOO_LARGE)).then(Step::Reset),
                Outcome::Passed(413, TOO_LARGE),
            ),
        )
        .with(|cell| cell.request_bytes = 6 << 20),
        Row::alike(
            "an early 401",
            Cell::new(
                early(&json("401 Unauthorized", r#"{"error":"Unauthorized"}"#)).close(),
                Outcome::Refused(502, &["upstream_denied"]),
            ),
        )
        .with(|cell| cell.request_bytes = 6 << 20),
    ]
}
