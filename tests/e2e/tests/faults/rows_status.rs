//! Statuses, and content types that do not fit.

use diogenes_e2e::{Script, Step};

use crate::case::{Cell, Outcome, Row};
use crate::rows_before::{whole_json, whole_stream};
use crate::wire::{HTML, JSON, VLLM_ERROR, WHOLE, answer, head, json, stream};

const DENIED: Outcome = Outcome::Refused(502, &["upstream_denied"]);
const REFUSED: &[&str] = &["upstream_refused"];
const MALFORMED: Outcome = Outcome::Refused(502, &["upstream_malformed"]);
const NOT_WHOLE: Outcome = Outcome::Refused(502, &["upstream_malformed", "upstream_cut"]);

/// A whole answer with this status, whose body is vLLM's error.
fn passed(name: &'static str, status: &'static str) -> Row {
    let number = status[..3].parse().expect("a status");
    Row::alike(name, Cell::sends(json(status, VLLM_ERROR), Outcome::Passed(number, VLLM_ERROR)))
}

/// A whole answer that becomes an error object of the same status, which names it.
fn refused(name: &'static str, status: &'static str, content_type: &str, body: &str) -> Row {
    let number = status[..3].parse().expect("a status");
    let cell = Cell::sends(answer(status, content_type, body), Outcome::Refused(number, REFUSED));
    Row::alike(name, cell).with(|cell| cell.names = &status[..3])
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = statuses();
    rows.extend(kinds());
    rows
}

fn statuses() -> Vec<Row> {
    const DETAIL: &str = r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#;
    let denied = |name, status: &str, content_type: &str, body: &str| {
        Row::alike(name, Cell::sends(answer(status, content_type, body), DENIED))
    };
    vec![
        denied("401", "401 Unauthorized", "application/json", r#"{"error":"Unauthorized"}"#),
        denied("403 with HTML", "403 Forbidden", "text/html", HTML),
        passed("400", "400 Bad Request"),
        passed("404", "404 Not Found"),
        passed("422", "422 Unprocessable Entity"),
        passed("429", "429 Too Many Requests"),
        passed("500", "500 Internal Server Error"),
        Row::alike(
            "422 in the words of FastAPI",
            Cell::sends(json("422 Unprocessable Entity", DETAIL), Outcome::Passed(422, DETAIL)),
        )
        .held(Outcome::Refused(422, REFUSED)),
        refused("404 with HTML", "404 Not Found", "text/html", HTML),
        refused("500 with HTML", "500 Internal Server Error", "text/html", HTML),
        refused(
            "500 with text",
            "500 Internal Server Error",
            "text/plain",
            "Internal Server Error",
        ),
        refused("500 with half a JSON", "500 Internal Server Error", "application/json", "{\"err"),
        refused("503 with nothing", "503 Service Unavailable", "text/plain", ""),
        Row::alike(
            "500 that is cut",
            Cell::closes(
                head(
                    "500 Internal Server Error",
                    &["content-type: application/json", "content-length: 900"],
                ) + VLLM_ERROR,
                Outcome::Refused(502, &["upstream_cut"]),
            ),
        )
        .held(Outcome::Refused(502, &["upstream_cut", "upstream_refused"])),
        Row::alike(
            "a redirect",
            Cell::sends(
                head("302 Found", &["location: http://192.0.2.1/", "content-length: 0"]),
                MALFORMED,
            ),
        )
        .held(Outcome::Refused(502, &["upstream_refused", "upstream_malformed"])),
        Row::alike("204", Cell::sends("HTTP/1.1 204 No Content\r\n\r\n", NOT_WHOLE))
            .held(Outcome::Refused(502, &["upstream_refused", "upstream_malformed"])),
    ]
}

/// A status of 200 with something else than was asked for.
fn kinds() -> Vec<Row> {
    let huge = format!("{{\"text\":\"{}\"}}", "x".repeat(8_000_000));
    let ok = |content_type: &str, body: &str| answer("200 OK", content_type, body);
    let gzipped = head(
        "200 OK",
        &["content-type: application/json", "content-encoding: gzip", "content-length: 4"],
    );
    let mut gzip = gzipped.into_bytes();
    gzip.extend(b"\x1f\x8b\x08\x00");
    let stream_head = head(
        "200 OK",
        &["content-type: text/event-stream", "content-encoding: gzip", "content-length: 4"],
    );
    let mut gzip_stream = stream_head.into_bytes();
    gzip_stream.extend(b"\x1f\x8b\x08\x00");
    vec![
        Row::new(
            "200 with HTML",
            Cell::sends(ok("text/html", HTML), MALFORMED),
            Cell::sends(ok("text/html", HTML), MALFORMED),
        ),
        Row::new(
            "200 with HTML that calls itself JSON",
            Cell::sends(ok("application/json", HTML), MALFORMED),
            Cell::sends(ok("application/json", HTML), MALFORMED),
        ),
        Row::new(
            "200 with nothing",
            Cell::sends(ok("application/json", ""), NOT_WHOLE),
            Cell::sends(ok("application/json", ""), MALFORMED),
        ),
        Row::new(
            "a content type with parameters and capitals",
            Cell::sends(ok("Application/JSON; charset=utf-8", JSON), whole_json()),
            Cell::sends(ok("Text/Event-Stream; charset=utf-8", WHOLE), whole_stream()),
        ),
        // Whole answers of the other kind: a server may not know `stream`.
        Row::of_streams(
            "JSON to a stream",
            Cell::sends(ok("application/json", JSON), Outcome::Passed(200, JSON)),
        )
        .held(MALFORMED),
        Row::of_plain(
            "a stream to a plain request",
            Cell::sends(stream(WHOLE), Outcome::Passed(200, WHOLE)),
        ),
        Row::of_streams(
            "half a JSON to a stream",
            Cell::sends(
                ok("application/json", "{\"id\":\"1\""),
                Outcome::Refused(502, &["upstream_cut"]),
            ),
        )
        .held(MALFORMED),
        Row::new(
            "a compressed body that nobody asked for",
            Cell::sends(&gzip, MALFORMED),
            Cell::sends(&gzip_stream, MALFORMED),
        )
        .held(Outcome::Refused(502, &["upstream_refused", "upstream_malformed"])),
        Row::of_plain("a huge plain answer", {
            let length = format!("content-length: {}", huge.len());
            let head = head("200 OK", &["content-type: application/json", &length]);
            let script = Script::new().send(head + "{\"text\":\"");
            let script = script.then(Step::Repeat(vec![b'x'; 1000], 8000)).send("\"}");
            Cell::new(script, Outcome::Whole(huge.into()))
        }),
    ]
}
