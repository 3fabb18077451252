use bytes::{Bytes, BytesMut};
use diogenes_core::gateway::translation::ErrorObject;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::error::ApiError;
use crate::proxy::call::{Call, until};
use crate::proxy::destination::Destination;
use crate::proxy::gateway::Gateway;
use crate::proxy::headers::{is_encoded, media_type};
use crate::proxy::interpreter::Interpreter;
use crate::proxy::pursuit::Reached;
use crate::proxy::refusal;
use crate::proxy::upstream::{BodyError, ResponseBody, UpstreamResponse};
use crate::proxy::usage::{Usage, Used, WireUsage};

/// An answer that has come whole.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) used: Used,
}

/// What is read of a whole answer; the same pass checks the syntax of all of it.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// Why an answer was not read whole.
enum Unread {
    Broken(BodyError),
    TooLarge,
}

/// Reads an answer whole and checks it, so that neither a cut one nor anything else is passed off
/// as what was asked for.
pub(super) async fn read(
    reached: Reached,
    headers: &HeaderMap,
    call: &Call,
    gateway: &Gateway,
) -> Result<Whole, ApiError> {
    let most = gateway.settings.max_response_bytes;
    let Reached { response, by, interpreter, sent_at, .. } = reached;
    let at = &by.destination();
    let says_its_end = response.body.says_its_end();
    let answer = tokio::time::timeout_at(
        sent_at + at.timeout(call.patience.stream),
        read_whole(response.body, most),
    );
    let Ok(read) = until(call.deadline, answer).await else {
        return Err(refusal::out_of_time(at));
    };
    let bytes = match read.unwrap_or(Err(Unread::Broken(BodyError::Stalled))) {
        Ok(bytes) => bytes,
        Err(Unread::Broken(broken)) => {
            if broken == BodyError::Cut {
                gateway.casualties.note(call, by.claim());
            }
            return Err(refusal::broken(broken, at));
        }
        Err(Unread::TooLarge) => return Err(refusal::too_large(most)),
    };
    let status = response.status;
    let used = if status.is_success() {
        let checked = if call.peek.wants_text() {
            check_text(headers, &bytes, says_its_end)
        } else {
            check(headers, &bytes)
        };
        let usage = checked.map_err(|flaw| match flaw {
            Flaw::Cut => refusal::broken(BodyError::Cut, at),
            Flaw::Other(what) => refusal::malformed(what, at),
        })?;
        used(call, usage, &bytes)
    } else {
        check_error(status, headers, &bytes, at)?;
        Used::NOTHING
    };
    let bytes = if status.is_success() {
        interpreter
            .answer(bytes, call, &*gateway.clock)
            .map_err(|error| refusal::malformed(&format!("cannot be used: {error}"), at))?
    } else {
        interpreter.error(&bytes, status, &call.id).ok_or_else(|| refusal::refused(status, at))?
    };
    Ok(Whole { bytes, used })
}

/// The tokens of an answer; of one that does not tell its usage four bytes of English are about one.
fn used(call: &Call, told: Option<Usage>, answer: &[u8]) -> Used {
    if call.dialect.is_free() {
        return Used::NOTHING;
    }
    if let Some(usage) = told.filter(|usage| usage.is_told_by(call.dialect)) {
        return Used::Told(usage);
    }
    if call.dialect.unbounded().is_some() {
        return Used::Unmetered;
    }
    let completion = if call.dialect.generates() { answer.len() as u64 / 4 } else { 0 };
    Used::Estimated(Usage::new(call.prompt_guess(), completion))
}

/// What is wrong with an answer that came whole as far as HTTP can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Its JSON ends too early.
    Cut,
    /// It is something else altogether; what, for a sentence that begins with "the answer".
    Other(&'static str),
}

/// Checks an answer that is to be text: a transcript or subtitles, and silence has neither. Some
/// servers answer JSON all the same.
fn check_text(headers: &HeaderMap, body: &[u8], says_its_end: bool) -> Result<Option<Usage>, Flaw> {
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_some() && is_json(headers) {
        return check(headers, body);
    }
    if is_encoded(headers) {
        return Err(Flaw::Other(refusal::COMPRESSED));
    }
    let kind = kind.map(|kind| media_type(kind).to_ascii_lowercase()).unwrap_or_default();
    let is_text = kind.is_empty()
        || kind == b"application/x-subrip"
        || (kind.starts_with(b"text/") && kind != b"text/html");
    if !is_text {
        return Err(Flaw::Other("is neither text nor JSON"));
    }
    if !says_its_end {
        return Err(Flaw::Other("does not say where it ends, so that it may have been cut"));
    }
    Ok(None)
}

/// Checks that a successful answer is JSON and whole; returns the usage that it tells.
fn check(headers: &HeaderMap, body: &[u8]) -> Result<Option<Usage>, Flaw> {
    if is_encoded(headers) {
        return Err(Flaw::Other(refusal::COMPRESSED));
    }
    if !is_json(headers) {
        return Err(Flaw::Other("is not JSON"));
    }
    if body.trim_ascii().is_empty() {
        return Err(Flaw::Other("is empty"));
    }
    // That it is UTF-8 is cheaper to check once than for every name in it.
    let read = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str::<Body>(text),
        Err(_) => serde_json::from_slice(body),
    };
    match read {
        Ok(body) => Ok(body.usage.map(Usage::from)),
        Err(error) if error.is_eof() => Err(Flaw::Cut),
        // An answer is passed on even where its usage has another shape.
        Err(error) if error.is_data() => {
            match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
                Ok(_) if body.trim_ascii_start().starts_with(b"{") => Ok(None),
                Ok(_) => Err(Flaw::Other("is not a JSON object")),
                Err(error) if error.is_eof() => Err(Flaw::Cut),
                Err(_) => Err(Flaw::Other("is not valid JSON")),
            }
        }
        Err(_) => Err(Flaw::Other("is not valid JSON")),
    }
}

/// Passes on what a replica says of an error, unless nobody could make sense of it or it is not
/// the caller's business.
fn check_error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    at: &Destination,
) -> Result<(), ApiError> {
    if status.is_redirection() || status.is_informational() {
        return Err(refusal::malformed("is a redirect", at));
    }
    // Its words may be about our account, and repeat the key.
    let is_denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || matches!(at, Destination::Hosted(hosted) if hosted.gives_away(body));
    let is_clear = !is_encoded(headers)
        && body.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    if status == StatusCode::NOT_FOUND {
        refusal::note_unknown(is_clear.then_some(body), at);
    }
    if is_denied || !is_clear {
        let mut error = refusal::refused(status, at);
        if let Some(after) = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok())
        {
            error.headers.push((header::RETRY_AFTER, after.to_owned()));
        }
        return Err(error);
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    // Servers that say nothing are judged by the body.
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = media_type(kind);
    kind.eq_ignore_ascii_case(b"application/json") || kind.ends_with(b"+json")
}

/// Buffers an answer of at most `most` bytes.
async fn read_whole(mut body: ResponseBody, most: usize) -> Result<Bytes, Unread> {
    let Some(first) = body.next().await.map_err(Unread::Broken)? else {
        return Ok(Bytes::new());
    };
    if first.len() > most {
        return Err(Unread::TooLarge);
    }
    let Some(second) = body.next().await.map_err(Unread::Broken)? else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    while let Some(bytes) = body.next().await.map_err(Unread::Broken)? {
        if whole.len() + bytes.len() > most {
            return Err(Unread::TooLarge);
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

/// What a replica says of an error, for a stream whose head has left: its error object, if it has
/// one that a caller may see.
pub(super) async fn error_event(
    response: UpstreamResponse,
    interpreter: Interpreter,
    call: &Call,
    at: &Destination,
) -> Result<Bytes, ApiError> {
    const MOST: usize = 1 << 20;
    let UpstreamResponse { status, headers, body } = response;
    let body = read_whole(body, MOST).await.unwrap_or_default();
    check_error(status, &headers, &body, at)?;
    if !interpreter.is_idle() {
        let error = ErrorObject::read(&body, Some(status.as_u16()));
        let error = error.ok_or_else(|| refusal::refused(status, at))?;
        return Ok(interpreter.error_event(&error, &call.id).into());
    }
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(error) if error.get("error").is_some_and(serde_json::Value::is_object) => {
            Ok(call.dialect.event("error", &error.to_string()).into())
        }
        _ => Err(refusal::refused(status, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn typed(kind: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers
    }

    #[test]
    fn a_whole_answer_tells_its_usage() {
        let body = br#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        for kind in [
            None,
            Some("application/json"),
            Some("application/json; charset=utf-8"),
            Some("application/problem+json"),
        ] {
            assert_eq!(check(&typed(kind), body), Ok(Some(Usage::new(3, 4))));
        }
        for body in
            [&b"{}"[..], br#"{"usage":null}"#, br#"{"usage":"unknown"}"#, b" {\"x\":[1,2]}\n"]
        {
            assert_eq!(check(&typed(None), body), Ok(None), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn every_cut_of_an_answer_is_noticed() {
        let body = br#"{"id":"x","choices":[{"text":"a}b\"c"}],"usage":{"prompt_tokens":3}}"#;
        for at in 1..body.len() {
            assert_eq!(check(&typed(None), &body[..at]), Err(Flaw::Cut), "cut at {at}");
        }
    }

    #[test]
    fn text_passes_if_it_says_where_it_ends() {
        for kind in [
            None,
            Some("text/plain; charset=utf-8"),
            Some("text/vtt"),
            Some("application/x-subrip"),
        ] {
            for body in [&b"Hello."[..], b""] {
                assert_eq!(check_text(&typed(kind), body, true), Ok(None), "{kind:?}");
                assert!(matches!(check_text(&typed(kind), body, false), Err(Flaw::Other(_))));
            }
        }
        let json = Some("application/json");
        let told =
            br#"{"text":"Hello.","usage":{"type":"tokens","input_tokens":3,"output_tokens":4}}"#;
        assert_eq!(check_text(&typed(json), told, false), Ok(Some(Usage::new(3, 4))));
        assert_eq!(check_text(&typed(json), &told[..9], true), Err(Flaw::Cut));
        for kind in ["text/html", "audio/mpeg", "application/octet-stream"] {
            let checked = check_text(&typed(Some(kind)), b"Hello.", true);
            assert!(matches!(checked, Err(Flaw::Other(_))), "{kind}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_not_passed_on() {
        for (kind, body) in [
            (Some("text/html"), &b"{}"[..]),
            (Some("text/plain"), b"{}"),
            (None, b""),
            (None, b" \n"),
            (None, b"<html>"),
            (None, b"[1]"),
            (None, b"{} {}"),
            (None, b"\"text\""),
        ] {
            assert!(
                matches!(check(&typed(kind), body), Err(Flaw::Other(_))),
                "{}",
                body.escape_ascii()
            );
        }
        let mut packed = typed(None);
        packed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(matches!(check(&packed, b"{}"), Err(Flaw::Other(_))));
    }
}
