//! Streams whose replica dies, along a route that recovers them.

use std::sync::Arc;

use diogenes_core::fleet::{ModelSpec, ResponsesApi};
use diogenes_core::gateway::Routes;
use diogenes_core::gateway::record::AttemptOutcome;
use diogenes_core::ports::{Clock, Limits, TokenBound};
use serde_json::{Value, json};

use super::record_tests::recorded;
use super::*;
use crate::proxy::testing::{
    Halves, Local, Script, Upstream, caller, events, eventually, model, plain, request, text,
};
use crate::proxy::{AnswerStream, Dialect};

/// What every replica says. A template would strip the white space of the sixth.
const PIECES: [&str; 8] = ["It", " is", " the", " 🦀", ".", "\n\n", "The", " end"];
const PROMPT: [u64; 2] = [900, 901];
pub(super) const WHOLE: &str = "It is the 🦀.\n\nThe end";

/// An inference server that dies after so many events of a stream.
pub(super) async fn replica(cut_after: usize) -> Upstream {
    Upstream::start(vec![Script::Reply(reply(cut_after))]).await
}

pub(super) fn reply(cut_after: usize) -> Arc<dyn Fn(&str) -> String + Send + Sync> {
    Arc::new(move |request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        answer(path, &body, cut_after)
    })
}

fn answer(path: &str, body: &Value, cut_after: usize) -> String {
    let ids = |of: &Value| -> Vec<usize> { serde_json::from_value(of.clone()).unwrap() };
    let said = |ids: &[usize]| ids.iter().map(|id| PIECES[*id]).collect::<String>();
    if path == "/detokenize" {
        let prompt = json!({ "prompt": said(&ids(&body["tokens"])) });
        return plain("200 OK", "content-type: application/json\r\n", &prompt.to_string());
    }
    if path == "/tokenize" {
        let window = json!({"count": 0, "tokens": [], "max_model_len": 99});
        return plain("200 OK", "content-type: application/json\r\n", &window.to_string());
    }
    let is_chat = path == "/v1/chat/completions";
    let behind = match body["continue_final_message"].as_bool() {
        Some(true) => {
            let last = body["messages"].as_array().unwrap().last().unwrap().clone();
            let stripped = last["content"].as_str().unwrap().trim_end().to_owned();
            (0..=PIECES.len()).find(|count| PIECES[..*count].concat() == stripped).unwrap()
        }
        _ if is_chat => 0,
        _ => body["prompt"].as_array().map_or(0, |prompt| prompt.len() - PROMPT.len()),
    };
    let told = body["return_token_ids"] == true;
    let continuous = body["stream_options"]["continuous_usage_stats"] == true;
    let prompt: Vec<u64> = PROMPT.into_iter().chain(0..behind as u64).collect();
    let usage = |tokens: usize| json!({"prompt_tokens": prompt.len(), "completion_tokens": tokens});
    let limit = body["max_tokens"].as_u64().map_or(99, |limit| usize::try_from(limit).unwrap());
    let end = PIECES.len().min(behind + limit);
    let mut all = Vec::new();
    let id = format!("behind-{behind}");
    let mut push = |choice: Option<Value>, tokens: usize, last: bool| {
        let choices: Vec<Value> = choice.into_iter().collect();
        let mut chunk = json!({"id": id, "object": "chunk", "created": behind, "model": "m", "choices": choices});
        if continuous || last {
            chunk["usage"] = usage(tokens);
        }
        if told && all.is_empty() {
            chunk["prompt_token_ids"] = json!(prompt);
        }
        all.push(format!("data: {chunk}\n\n"));
    };
    if is_chat {
        push(Some(json!({"index": 0, "delta": {"role": "assistant", "content": ""}})), 0, false);
    }
    for (place, piece) in PIECES.iter().enumerate().take(end).skip(behind) {
        let finish =
            (place + 1 == end).then_some(if end < PIECES.len() { "length" } else { "stop" });
        let mut choice = json!({"index": 0, "finish_reason": finish});
        if is_chat {
            choice["delta"] = json!({ "content": piece });
        } else {
            choice["text"] = json!(piece);
        }
        if told {
            choice["token_ids"] = json!([place]);
        }
        push(Some(choice), place + 1 - behind, false);
    }
    if body["stream_options"]["include_usage"] == true {
        push(None, end - behind, true);
    }
    all.push("data: [DONE]\n\n".into());
    if cut_after >= all.len() {
        return events(&all.concat());
    }
    let whole = events(&all[..cut_after].concat());
    whole.strip_suffix("0\r\n\r\n").unwrap().to_owned()
}

/// The same in two parts: so many events of a stream, and the others.
pub(super) fn answer_in_parts(first: usize) -> Halves {
    let whole = reply(99);
    Arc::new(move |request| {
        let answer = whole(request);
        let (head, events) = answer.split_once("data: ").unwrap();
        let ends = events.match_indices("\n\n").map(|(at, _)| at + 2);
        let (said, kept) = events.split_at(ends.clone().nth(first - 1).unwrap());
        (format!("{head}data: {said}"), kept.to_owned())
    })
}

fn local_of(route: Value) -> Local {
    local_with(Local::spec(), route)
}

fn local_with(spec: ModelSpec, route: Value) -> Local {
    let route = serde_json::from_value(route).unwrap();
    Local::with_routes(spec, &Routes::from([("assistant".parse().unwrap(), route)]))
}

pub(super) fn local() -> Local {
    local_of(json!({ "targets": [model()], "recover": true }))
}

fn ask(more: &Value) -> InferenceRequest {
    let mut body = json!({
        "model": "assistant", "stream": true, "messages": [{"role": "user", "content": "hi"}],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request(Dialect::ChatCompletions, body.to_string())
}

pub(super) async fn walked(local: &Local, request: InferenceRequest) -> AnswerStream {
    let answer = local.gateway.walk(caller(Limits::default()), request).await.unwrap();
    match answer.body {
        AnswerBody::Stream(stream) => stream,
        AnswerBody::Whole(bytes) => panic!("{}", bytes.escape_ascii()),
    }
}

async fn streamed(local: &Local, request: InferenceRequest) -> String {
    text(local.gateway.walk(caller(Limits::default()), request).await.unwrap()).await
}

/// What a caller makes of a stream that ends well: one id, one role, one end, one `[DONE]`.
pub(super) fn said(stream: &str) -> (String, Option<Value>) {
    let body = stream.strip_suffix("data: [DONE]\n\n").unwrap_or_else(|| panic!("{stream}"));
    assert!(!body.contains("[DONE]") && !body.contains("token_ids"), "{stream}");
    let (mut text, mut usage, mut ends, mut roles) = (String::new(), None, 0, 0);
    for event in body.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
        let chunk: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&chunk["id"], &chunk["created"]), (&json!("behind-0"), &json!(0)), "{stream}");
        let Some(choice) = chunk["choices"].get(0) else {
            assert!(usage.replace(chunk["usage"].clone()).is_none());
            continue;
        };
        assert!(chunk.get("usage").is_none(), "{stream}");
        let piece = choice["delta"].get("content").or(choice.get("text"));
        text.push_str(piece.and_then(Value::as_str).unwrap());
        roles += usize::from(choice["delta"].get("role").is_some());
        ends += usize::from(!choice["finish_reason"].is_null());
    }
    assert_eq!((ends, roles <= 1), (1, true), "{stream}");
    (text, usage)
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_is_continued_by_another_replica() {
    for cut in 0..12 {
        let local = local();
        let (first, second) = (replica(cut).await, replica(99).await);
        local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
        let stream = streamed(&local, ask(&json!({}))).await;
        assert_eq!(said(&stream), (WHOLE.to_owned(), None), "cut after {cut} events");
        let stream_of = |seen: &String| seen.starts_with("POST /v1/");
        let asked = second.seen().into_iter().filter(stream_of).collect::<Vec<_>>();
        // Behind the white space, its text does not do, but its tokens do. From the last piece on,
        // the end is known.
        let expected = match cut {
            7 => 2,
            0..9 => 1,
            _ => 0,
        };
        assert_eq!(asked.len(), expected, "cut after {cut} events: {asked:?}");
        let counted = local.dispatcher.get(model().as_str()).unwrap().metrics.tokens();
        assert_eq!(counted, (2, 8), "cut after {cut} events");
    }
}

#[tokio::test]
async fn the_record_of_a_recovered_stream_tells_of_both_replicas() {
    let (local, shelf) = recorded(local());
    let (first, second) = (replica(4).await, replica(99).await);
    local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
    streamed(&local, ask(&json!({}))).await;
    let record = shelf.one().await;
    assert!(record.is_recovered() && record.error.is_none(), "{record:?}");
    let [cut, whole] = &record.attempts[..] else { panic!("{record:?}") };
    assert_eq!((cut.outcome, whole.outcome), (AttemptOutcome::Continued, AttemptOutcome::Answered));
    assert_eq!((cut.error.as_deref(), &whole.error), (Some("upstream_cut"), &None));
    assert_eq!((cut.target.as_str(), whole.target.as_str()), ("0/claim-0", "1/claim-1"));
    assert_eq!(whole.authority, second.address.to_string());
    assert!(cut.span != whole.span && cut.time.after + cut.time.took <= whole.time.after);
}

#[tokio::test]
async fn usage_and_limits_are_those_of_the_whole() {
    let local = local();
    let (first, second) = (replica(4).await, replica(99).await);
    local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
    let asks = json!({"stream_options": {"include_usage": true}, "max_tokens": 7});
    let limits = Limits { tokens_per_minute: Some(100_000), ..Limits::default() };
    let answer = local.gateway.walk(caller(limits), ask(&asks)).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-route"], "assistant; position=1; recover");
    let (text, usage) = said(&text(answer).await);
    assert_eq!(text, "It is the 🦀.\n\nThe");
    let usage = usage.unwrap();
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(2), &json!(7)));
    let (key, none) = (caller(limits).key.clone(), TokenBound::new(0));
    let admission = local.gateway.limiter.admit(&key, &limits, none, local.clock.now()).await;
    let tokens = admission.unwrap().status.tokens.unwrap();
    assert_eq!(tokens.limit - tokens.remaining, 9);
    let seen = second.seen();
    let asked = seen.last().unwrap();
    assert!(asked.contains(r#""max_tokens":4"#), "of 7, 3 have come: {asked}");
    let said = r#"{"role":"assistant","content":"It is the"}"#;
    assert!(asked.contains(said) && asked.contains(r#""continue_final_message":true"#), "{asked}");
    assert!(asked.contains("authorization: Bearer up-secret\r\n"), "{asked}");
}

#[tokio::test]
async fn a_continuation_may_be_cut_again_but_not_for_ever() {
    for (replicas, recovers) in [(4, true), (5, false)] {
        let local = local();
        let mut all = Vec::new();
        for place in 1..=replicas {
            all.push(replica(if place == replicas { 99 } else { 2 }).await);
        }
        let claims: Vec<String> = (0..replicas).map(|place| format!("claim-{place}")).collect();
        let ready: Vec<_> =
            claims.iter().zip(&all).map(|(claim, at)| (claim.as_str(), at.address)).collect();
        local.ready(&ready);
        let stream = streamed(&local, ask(&json!({}))).await;
        if recovers {
            assert_eq!(said(&stream).0, WHOLE);
        } else {
            assert!(stream.contains("upstream_cut") && !stream.contains("[DONE]"), "{stream}");
        }
    }
}

#[tokio::test]
async fn a_stream_waits_for_a_replica_that_runs_the_same() {
    let mut local = local();
    let (first, second) = (replica(4).await, replica(99).await);
    let other = replica(99).await;
    local.ready(&[("claim-0", first.address)]);
    let mut stream = walked(&local, ask(&json!({}))).await;
    let mut all = String::new();
    while !all.contains(" the") {
        all.push_str(std::str::from_utf8(&stream.next().await.unwrap()).unwrap());
    }
    let rest = tokio::spawn(async move {
        while let Some(bytes) = stream.next().await {
            all.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        all
    });
    eventually("it waits", async || (local.demand().await.held == 1).then_some(())).await;
    let same = local.spec.clone();
    local.spec.command.push("--another".into());
    local.ready(&[("claim-1", other.address)]);
    local.spec = same;
    local.ready(&[("claim-2", second.address)]);
    assert_eq!(said(&rest.await.unwrap()).0, WHOLE);
    assert!(other.seen().is_empty());
    assert_eq!(local.demand().await.total(), 0);
}

#[tokio::test]
async fn a_replica_that_is_given_up_is_not_waited_for() {
    let local = local();
    let first = Upstream::start(vec![Script::ReplyAndHang(reply(4))]).await;
    let second = replica(99).await;
    local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
    let mut stream = walked(&local, ask(&json!({}))).await;
    let mut all = String::new();
    while !all.contains(" the") {
        all.push_str(std::str::from_utf8(&stream.next().await.unwrap()).unwrap());
    }
    // The connection stands, but the fleet knows that nothing will come.
    local.ready(&[("claim-1", second.address)]);
    while let Some(bytes) = stream.next().await {
        all.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(said(&all).0, WHOLE);
}

#[tokio::test]
async fn a_stream_without_another_replica_ends_as_it_did() {
    let local = local();
    let first = replica(4).await;
    local.ready(&[("claim-0", first.address)]);
    let mut stream = walked(&local, ask(&json!({}))).await;
    let mut all = String::new();
    while !all.contains(" the") {
        all.push_str(std::str::from_utf8(&stream.next().await.unwrap()).unwrap());
    }
    local.dispatcher.shut_down();
    while let Some(bytes) = stream.next().await {
        all.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(all.contains("\"code\":\"upstream_cut\"") && !all.contains("[DONE]"), "{all}");
}

#[tokio::test]
async fn a_request_over_which_two_replicas_die_does_not_meet_a_third() {
    let local = local();
    let (first, second, third) = (replica(3).await, replica(2).await, replica(99).await);
    let claims = ["claim-0", "claim-1", "claim-2"];
    let at = [first.address, second.address, third.address];
    local.ready(&claims.iter().copied().zip(at).collect::<Vec<_>>());
    let mut stream = walked(&local, ask(&json!({}))).await;
    let mut all = String::new();
    let mut living = vec![second, first];
    while let Some(bytes) = stream.next().await {
        all.push_str(std::str::from_utf8(&bytes).unwrap());
        // Each dies once it has said something.
        drop(living.pop());
        tokio::task::yield_now().await;
    }
    assert!(all.contains("upstream_cut"), "{all}");
    assert!(third.seen().is_empty(), "{:?}", third.seen());
}

#[tokio::test]
async fn what_cannot_be_continued_or_need_not_be_passes_as_it_is() {
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let seed = json!({"seed": 7});
    let is_off = json!({ "targets": [model()] });
    let is_on = json!({ "targets": [model()], "recover": true });
    for (route, more) in [(is_on.clone(), tools), (is_on, seed), (is_off, json!({}))] {
        let local = local_of(route);
        let (first, second) = (replica(4).await, replica(99).await);
        local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
        let stream = streamed(&local, ask(&more)).await;
        let (events, error) = stream.split_once("data: {\"error\"").unwrap();
        assert!(events.contains(" the") && error.contains("upstream_cut"), "{stream}");
        assert!(!first.seen()[0].contains("return_token_ids") && second.seen().is_empty());
    }
}

#[tokio::test]
async fn completions_and_messages_are_continued_as_well() {
    for cut in 1..7 {
        let local = local();
        let (first, second) = (replica(cut).await, replica(99).await);
        local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
        let body = json!({"model": "assistant", "stream": true, "prompt": "hi", "max_tokens": 99});
        let stream = streamed(&local, request(Dialect::Completions, body.to_string())).await;
        assert_eq!(said(&stream).0, WHOLE, "cut after {cut} events");
        assert!(second.seen().last().unwrap().contains(r#""prompt":[900,901,0"#));

        let body = json!({
            "model": "assistant", "stream": true, "max_tokens": 99,
            "messages": [{"role": "user", "content": "hi"}],
        });
        let stream = streamed(&local, request(Dialect::Messages, body.to_string())).await;
        let texts = stream.split(r#""text_delta","text":""#).skip(1);
        let text: String = texts.map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(text.replace("\\n", "\n"), WHOLE, "{stream}");
        assert!(stream.contains(r#""output_tokens":8"#), "{stream}");
        assert!(stream.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    }
}

#[tokio::test]
async fn a_translated_response_is_continued_as_one() {
    for cut in 0..12 {
        let spec = ModelSpec { responses: ResponsesApi::Translated, ..Local::spec() };
        let local = local_with(spec, json!({ "targets": [model()], "recover": true }));
        let (first, second) = (replica(cut).await, replica(99).await);
        local.ready(&[("claim-0", first.address), ("claim-1", second.address)]);
        let body = json!({"model": "assistant", "stream": true, "input": "hi"});
        let stream = streamed(&local, request(Dialect::Responses, body.to_string())).await;
        let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
        let numbers = events.iter().map(|event| event["sequence_number"].as_u64().unwrap());
        assert!(numbers.eq(0..events.len() as u64), "cut after {cut} events: {stream}");
        let of_kind = |kind: &str| -> Vec<&Value> {
            events.iter().filter(|event| event["type"] == kind).collect()
        };
        for once in ["created", "in_progress", "output_item.added", "output_item.done"] {
            assert_eq!(of_kind(&format!("response.{once}")).len(), 1, "{once}: {stream}");
        }
        let ids = events.iter().filter_map(|event| event.pointer("/response/id"));
        assert!(ids.clone().all(|id| id == "resp_request-1") && ids.count() >= 2, "{stream}");
        let deltas = of_kind("response.output_text.delta");
        let text: String = deltas.iter().map(|event| event["delta"].as_str().unwrap()).collect();
        assert_eq!(text, WHOLE, "cut after {cut} events");
        assert!(deltas.iter().all(|event| event["item_id"] == deltas[0]["item_id"]), "{stream}");
        let [completed] = of_kind("response.completed")[..] else { panic!("{stream}") };
        assert_eq!(events.last(), Some(completed));
        let response = &completed["response"];
        assert_eq!(response["output"][0]["content"][0]["text"], WHOLE);
        let usage = &response["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(2), &json!(8)));
        assert!(!stream.contains("[DONE]") && !stream.contains("token_ids"), "{stream}");
    }
}
