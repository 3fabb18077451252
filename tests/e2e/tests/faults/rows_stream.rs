//! Ends and events of a stream.

use diogenes_e2e::{Script, Step};

use crate::case::{Cell, Outcome, Row};
use crate::rows_before::whole_stream;
use crate::wire::{DONE, EVENTS, WHOLE, chunk, json, stream, stream_head};

const CUT: &[&str] = &["upstream_cut"];
const MALFORMED: &[&str] = &["upstream_malformed"];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = ends();
    rows.extend(events());
    rows.extend(responses());
    rows
}

/// What a stream sends in chunks, with the last one.
fn of(name: &'static str, text: &str, outcome: Outcome) -> Row {
    Row::of_streams(name, Cell::sends(stream(text), outcome))
}

/// The same text must come out.
fn same(name: &'static str, text: &str) -> Row {
    of(name, text, Outcome::Whole(text.into()))
}

fn after_done(name: &'static str, rest: &str) -> Row {
    let outcome = Outcome::WholeAtLeast(WHOLE);
    Row::of_streams(name, Cell::closes(stream_head() + &chunk(WHOLE) + rest, outcome))
}

fn ends() -> Vec<Row> {
    let error = "data: {\"error\":{\"message\":\"no\",\"code\":500}}\n\n";
    vec![
        of("a stream without [DONE]", EVENTS, Outcome::Broken(EVENTS, CUT)),
        Row::of_streams(
            "a stream of nothing",
            Cell::sends(stream_head() + "0\r\n\r\n", Outcome::Broken("", CUT)),
        ),
        same("only [DONE]", DONE),
        after_done("[DONE], then no last chunk", ""),
        after_done("[DONE], then half a chunk", "ff\r\ndata"),
        after_done("[DONE], then a broken chunk", "zz\r\n"),
        after_done("[DONE], then another event", &(chunk(EVENTS) + "0\r\n\r\n")),
        after_done("[DONE], then half an event", &(chunk("data: {\"id") + "0\r\n\r\n")),
        after_done("[DONE], then [DONE]", &(chunk(DONE) + "0\r\n\r\n")),
        after_done("[DONE], then a comment", &(chunk(": bye\n\n") + "0\r\n\r\n")),
        Row::of_streams(
            "[DONE], then another event in the same chunk",
            Cell::sends(stream(&format!("{WHOLE}{EVENTS}")), Outcome::WholeAtLeast(WHOLE)),
        ),
        Row::of_streams(
            "[DONE], then a reset",
            Cell::new(
                Script::new().send(stream_head() + &chunk(WHOLE)).pause(50).then(Step::Reset),
                Outcome::WholeAtLeast(WHOLE),
            ),
        ),
        Row::of_streams(
            "[DONE], then silence",
            Cell::new(
                Script::new().send(stream_head() + &chunk(WHOLE)).then(Step::Silence),
                Outcome::WholeAtLeast(WHOLE),
            ),
        )
        .with(|cell| cell.impatient = true),
        Row::of_streams(
            "[DONE], then the death of the process",
            Cell::new(
                Script::new().send(stream_head() + &chunk(WHOLE)).then(Step::Die),
                Outcome::WholeAtLeast(WHOLE),
            ),
        ),
        of("[DONE] inside a text", "data: {\"text\":\"data: [DONE]\"}\n\n", {
            Outcome::Broken("data: {\"text\":\"data: [DONE]\"}\n\n", CUT)
        }),
        of("[DONE] in the middle of a line", "data: {\"id\":1} data: [DONE]\n\n", {
            Outcome::Broken("", &["upstream_cut", "upstream_malformed"])
        }),
        of("a stream that ends in half an event", &format!("{EVENTS}data: {{\"id"), {
            Outcome::Broken(EVENTS, &["upstream_cut", "upstream_malformed"])
        }),
        same("an error inside a stream, then [DONE]", &format!("{EVENTS}{error}{DONE}")),
        Row::of_streams(
            "[DONE] split between two chunks",
            Cell::new(
                Script::new()
                    .send(stream_head() + &chunk(&format!("{EVENTS}data: [DO")))
                    .pause(50)
                    .send(chunk("NE]\n\n") + "0\r\n\r\n"),
                whole_stream(),
            ),
        ),
    ]
}

fn events() -> Vec<Row> {
    let malformed = |name, event: &str| {
        of(name, &format!("{EVENTS}{event}\n\n{DONE}"), Outcome::Broken(EVENTS, MALFORMED))
    };
    let with = |event: &str| format!("{EVENTS}{event}\n\n{DONE}");
    let usage = |cut: usize| {
        let text =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
        let (a, b) = text.split_at(cut);
        let script = Script::new().send(stream_head() + &chunk(EVENTS) + &chunk(a)).pause(80);
        let whole = format!("{EVENTS}{text}{DONE}");
        let script = script.send(chunk(b) + &chunk(DONE) + "0\r\n\r\n");
        Cell { tokens: Some((3, 4)), ..Cell::new(script, Outcome::Whole(whole.into())) }
    };
    vec![
        malformed("data that is half an object", "data: {\"id\":\"3\",\"cho"),
        malformed("data that is a text", "data: oops"),
        malformed("data that is HTML", "data: <html></html>"),
        malformed("data that is a list", "data: []"),
        malformed("data that is nothing", "data:"),
        Row::of_streams(
            "half an object split between two reads",
            Cell::new(
                Script::new()
                    .send(stream_head() + &chunk(&format!("{EVENTS}data: {{\"id\":\"3\",")))
                    .pause(80)
                    .send(chunk(&format!("\"cho\n\n{DONE}")) + "0\r\n\r\n"),
                Outcome::Broken(EVENTS, MALFORMED),
            ),
        ),
        same("CRLF", &WHOLE.replace('\n', "\r\n")),
        same("a byte order mark", &format!("\u{feff}{WHOLE}")),
        same("no space behind the colon", &WHOLE.replace("data: ", "data:")),
        same("comments, ids and retries", &with(": ping\n\nid: 7\nretry: 9\ndata: {\"id\":3}")),
        of("only comments", ": ping\n\n: ping\n\n", Outcome::Broken("", CUT)),
        same("comments and [DONE]", &format!(": ping\n\n{DONE}")),
        same("NUL in an event", &with("data: {\"text\":\"\0\"}")),
        same("an event of 15 kB", &with(&format!("data: {{\"t\":\"{}\"}}", "x".repeat(15_000)))),
        Row::of_streams("bytes that are not UTF-8", {
            let text =
                [EVENTS.as_bytes(), b"data: {\"t\":\"\xff\xfe\"}\n\n", DONE.as_bytes()].concat();
            let length = format!("{:x}\r\n", text.len());
            let head = stream_head().into_bytes();
            let sent = [&head, length.as_bytes(), &text, b"\r\n0\r\n\r\n"].concat();
            Cell::sends(sent, Outcome::Whole(text))
        }),
        Row::of_streams("usage in one read", usage(6)),
        Row::of_streams("usage split inside its name", usage(26)),
        Row::of_streams("usage split behind its name", usage(31)),
        Row::of_streams("usage split inside a number's name", usage(40)),
    ]
}

fn responses() -> Vec<Row> {
    let created = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n";
    let last = |kind: &str| {
        format!(
            "{created}event: response.{kind}\ndata: {{\"type\":\"response.{kind}\",\"response\":{{}}}}\n\n"
        )
    };
    let told = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response.completed\\\"\"}\n\n";
    let rows = vec![
        of("a response without its last event", created, Outcome::Broken("", CUT)),
        of("a response that tells of its last event", told, Outcome::Broken("", CUT)),
        same("a response that is completed", &last("completed")),
        same("a response that failed", &last("failed")),
        same("a response that is incomplete", &last("incomplete")),
        Row::of_streams("a completed response without its last chunk", {
            let text = last("completed");
            let sent = stream_head() + &chunk(&text);
            Cell::closes(sent, Outcome::Whole(text.into()))
        }),
    ];
    let plain = Row::of_plain("a plain response", {
        Cell::sends(json("200 OK", "{\"id\":\"1\"}"), Outcome::Whole("{\"id\":\"1\"}".into()))
    });
    rows.into_iter()
        .chain([plain])
        .map(|row| row.with(|cell| cell.path = "/v1/responses"))
        .collect()
}
