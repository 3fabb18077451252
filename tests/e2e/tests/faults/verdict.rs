use std::fmt;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::case::{Cell, Mode, Outcome};

/// What came back.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.body.get(..400).unwrap_or(&self.body);
        write!(f, "got {} {:?}", self.status, String::from_utf8_lossy(start))
    }
}

/// Whether a caller who got this got what the cell says.
pub(crate) fn judge(cell: &Cell, mode: Mode, received: &Received) -> Result<(), String> {
    let verdict = match mode {
        Mode::Plain | Mode::Stream => direct(cell, mode, received),
        Mode::Held => held(cell, received),
    };
    verdict.map_err(|why| format!("{why}; wanted {}, {received}", wanted(&cell.outcome)))
}

fn wanted(outcome: &Outcome) -> String {
    let text = format!("{outcome:?}");
    match outcome {
        Outcome::Whole(body) => {
            let start = body.get(..400).unwrap_or(body);
            format!("{:?}", String::from_utf8_lossy(start))
        }
        _ => text,
    }
}

fn ensure(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

fn direct(cell: &Cell, mode: Mode, received: &Received) -> Result<(), String> {
    let kind = received.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    match &cell.outcome {
        Outcome::Whole(_) | Outcome::WholeAtLeast(_) | Outcome::Broken(..) => {
            ensure(received.status == 200, "the status is wrong")?;
            let wanted = if mode == Mode::Plain { "application/json" } else { "text/event-stream" };
            ensure(kind.starts_with(wanted), "the content type is wrong")?;
            // A warm stream may have to wait for a replica, too.
            events(cell, without_comments(&received.body))
        }
        Outcome::Passed(status, body) => {
            ensure(received.status == *status, "the status is wrong")?;
            ensure(received.body == body.as_bytes(), "the body is wrong")
        }
        Outcome::Refused(status, codes) => {
            ensure(received.status == *status, "the status is wrong")?;
            ensure(kind.starts_with("application/json"), "an error is not JSON")?;
            ensure(!received.headers.contains_key("location"), "a redirect is passed on")?;
            error(&received.body, codes, cell.names)
        }
    }
}

/// A held stream has status 200, begins with comments, and tells errors as its last event.
fn held(cell: &Cell, received: &Received) -> Result<(), String> {
    ensure(received.status == 200, "the status is wrong")?;
    let body = without_comments(&received.body);
    ensure(body.len() < received.body.len(), "it was not held")?;
    match &cell.outcome {
        Outcome::Whole(_) | Outcome::WholeAtLeast(_) | Outcome::Broken(..) => events(cell, body),
        Outcome::Passed(_, wanted) => {
            let (before, event) = last_event(body).ok_or("there is no error event")?;
            ensure(before.is_empty(), "there is more than one event")?;
            let same =
                serde_json::from_slice::<Value>(event).ok() == serde_json::from_str(wanted).ok();
            ensure(same, "the error is wrong")
        }
        Outcome::Refused(_, codes) => {
            let (before, event) = last_event(body).ok_or("there is no error event")?;
            ensure(before.is_empty(), "there is more than one event")?;
            error(event, codes, cell.names)
        }
    }
}

fn events(cell: &Cell, body: &[u8]) -> Result<(), String> {
    match &cell.outcome {
        Outcome::Whole(whole) => ensure(body == whole, "the body is wrong"),
        Outcome::WholeAtLeast(whole) => {
            ensure(body.starts_with(whole.as_bytes()), "the body is wrong")?;
            let rest = String::from_utf8_lossy(&body[whole.len()..]).into_owned();
            ensure(!rest.contains("\"error\""), "an error follows the end")
        }
        Outcome::Broken(begin, codes) => {
            let (before, event) = last_event(body).ok_or("there is no error event")?;
            ensure(before.starts_with(begin.as_bytes()), "the events before are wrong")?;
            let done =
                before.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"data: [DONE]"));
            ensure(!done, "it was whole already")?;
            error(event, codes, cell.names)
        }
        Outcome::Passed(..) | Outcome::Refused(..) => Ok(()),
    }
}

/// What comes before the last event, and its data, if that tells of an error. Those of the
/// Responses API have a name and a type.
fn last_event(body: &[u8]) -> Option<(&[u8], &[u8])> {
    const ERRORS: [&[u8]; 2] = [b"event: error\ndata: {\"type\":\"error\",", b"data: {\"error\":"];
    let body = body.strip_suffix(b"\n\n")?;
    let place = |error: &[u8]| body.windows(error.len()).rposition(|bytes| bytes == error);
    let at = ERRORS.into_iter().find_map(place)?;
    let (before, event) = body.split_at(at);
    let own_line = before.is_empty() || before.ends_with(b"\n\n") || before.ends_with(b"\r\n\r\n");
    let event = event.strip_prefix(b"event: error\n").unwrap_or(event).strip_prefix(b"data: ")?;
    (own_line && !event.contains(&b'\n')).then_some((before, event))
}

/// Our error object.
fn error(body: &[u8], codes: &[&str], names: &str) -> Result<(), String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "an error is not JSON")?;
    let field = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    ensure(codes.contains(&field("code").as_str()), "the code is wrong")?;
    ensure(!field("message").is_empty() && !field("type").is_empty(), "the error is not OpenAI's")?;
    ensure(field("message").contains(names), &format!("the message does not name `{names}`"))
}

/// The body without the comments that a held stream begins with.
fn without_comments(body: &[u8]) -> &[u8] {
    let mut rest = body;
    while rest.starts_with(b": diogenes ") {
        let Some(end) = rest.windows(2).position(|bytes| bytes == b"\n\n") else { break };
        rest = &rest[end + 2..];
    }
    rest
}
