//! Sound and images: forms with files, and answers that are not about tokens.

use diogenes_core::gateway::Routes;
use diogenes_core::ports::{Limits, Unit};
use diogenes_core::secret::Secret;
use diogenes_core::testing::MemoryStore;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::budget_tests::Fixture;
use super::record_tests::recorded;
use super::*;
use crate::error::ErrorKind;
use crate::proxy::Dialect::{ImageEdits, ImageGenerations, Transcriptions, Translations};
use crate::proxy::testing::{
    Local, SOUND, Script, TokioClock, Upstream, caller, events, form, model, plain, request, text,
};

const JSON: &str = "content-type: application/json\r\n";
const SECONDS: &str = r#"{"text":"Hello.","usage":{"type":"duration","seconds":2}}"#;
const TOKENS: &str =
    r#"{"text":"Hello.","usage":{"type":"tokens","input_tokens":10,"output_tokens":4}}"#;
const CHUNKS: &str = "data: {\"object\":\"transcription.chunk\",\"choices\":[{\"delta\":{\"content\":\"Hello.\"}}]}\n\ndata: [DONE]\n\n";
const DELTAS: &str = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hello.\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Hello.\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":10,\"output_tokens\":4}}\n\n";

fn says(fields: &str, body: &str) -> Script {
    Script::Answer(plain("200 OK", fields, body))
}

async fn walked(local: &Local, request: InferenceRequest) -> Result<Answer, ApiError> {
    local.gateway.walk(caller(Limits::default()), request).await
}

async fn own(scripts: Vec<Script>) -> (Local, Upstream) {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(scripts).await;
    local.ready(&[("claim-0", upstream.address)]);
    (local, upstream)
}

#[tokio::test]
async fn a_form_reaches_the_replica_with_the_name_that_it_knows_and_its_file_whole() {
    let upstream = Upstream::start(vec![says(JSON, SECONDS)]).await;
    let mut spec = Local::spec();
    spec.upstream_model = Some("openai/whisper-large-v3".into());
    let (local, shelf) = recorded(Local::new(spec));
    local.ready(&[("claim-0", upstream.address)]);
    let model = model();
    let asked = form(Transcriptions, &[("model", model.as_str()), ("language", "en")]);
    let sent = String::from_utf8(asked.body.to_vec()).unwrap();
    let answer = walked(&local, asked).await.unwrap();
    assert_eq!(text(answer).await, SECONDS);
    let seen = &upstream.seen()[0];
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/audio/transcriptions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: multipart/form-data; boundary=limit"), "{head}");
    assert_eq!(body, sent.replace(model.as_str(), "openai/whisper-large-v3"));
    assert!(body.contains(SOUND));
    // Nothing of the file is told to anybody else.
    let record = shelf.one().await;
    assert_eq!((record.endpoint, record.status), ("/v1/audio/transcriptions", 200));
    assert_eq!((record.usage, record.cost), (None, None));
    assert!(!format!("{record:?}").contains("secret"), "{record:?}");
}

#[tokio::test]
async fn text_is_passed_on_as_it_is_and_a_cut_one_is_not() {
    let vtt = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello.\n";
    let unframed = |body: &str| {
        Script::Answer(format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n{body}"))
    };
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 50\r\n\r\nHello.";
    let ask = |format: &'static str| {
        form(Transcriptions, &[("model", "org/model"), ("response_format", format)])
    };
    for (format, script) in [
        ("text", says("content-type: text/plain; charset=utf-8\r\n", "Hello.\n")),
        ("text", says("content-type: text/plain\r\n", "")),
        ("vtt", says("content-type: text/vtt\r\n", vtt)),
        ("srt", says("content-type: application/x-subrip\r\n", "1\n")),
        // As vLLM answers.
        ("text", says(JSON, SECONDS)),
        ("verbose_json", says(JSON, SECONDS)),
    ] {
        let (local, _upstream) = own(vec![script]).await;
        let answer = walked(&local, ask(format)).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{format}");
    }
    for (format, script, kind) in [
        ("text", unframed("Hello."), ErrorKind::UpstreamMalformed),
        ("text", Script::Answer(cut.into()), ErrorKind::UpstreamCut),
        ("text", says("content-type: text/html\r\n", "<html>"), ErrorKind::UpstreamMalformed),
        ("text", says("content-type: audio/mpeg\r\n", "x"), ErrorKind::UpstreamMalformed),
        ("text", says(JSON, &SECONDS[..20]), ErrorKind::UpstreamCut),
        ("json", says("content-type: text/plain\r\n", "Hello."), ErrorKind::UpstreamMalformed),
        ("verbose_json", says(JSON, &SECONDS[..20]), ErrorKind::UpstreamCut),
    ] {
        let (local, _upstream) = own(vec![script]).await;
        let error = walked(&local, ask(format)).await.unwrap_err();
        assert_eq!((error.kind, error.status()), (kind, StatusCode::BAD_GATEWAY), "{format}");
    }
}

#[tokio::test]
async fn a_streamed_transcript_is_whole_in_either_shape_and_told_if_it_is_not() {
    let ask = || form(Translations, &[("stream", "true"), ("model", "org/model")]);
    for whole in [CHUNKS, DELTAS] {
        let (local, _upstream) = own(vec![Script::Answer(events(whole))]).await;
        assert_eq!(text(walked(&local, ask()).await.unwrap()).await, whole);
        let first = whole.split_inclusive("\n\n").next().unwrap();
        let (local, _upstream) = own(vec![Script::Answer(events(first))]).await;
        let cut = text(walked(&local, ask()).await.unwrap()).await;
        assert!(cut.starts_with(first) && cut.contains("\"upstream_cut\""), "{cut}");
    }
}

#[tokio::test]
async fn a_stream_that_waits_for_its_model_is_opened_at_once() {
    let local = Local::new(Local::spec());
    let asked = form(Transcriptions, &[("model", "org/model"), ("stream", "true")]);
    let mut answer = walked(&local, asked).await.unwrap();
    let AnswerBody::Stream(stream) = &mut answer.body else { panic!("{answer:?}") };
    let first = stream.next().await.unwrap();
    assert!(first.starts_with(b": diogenes {"), "{first:?}");
    let upstream = Upstream::answering(&events(CHUNKS)).await;
    local.ready(&[("claim-0", upstream.address)]);
    assert!(text(answer).await.ends_with(CHUNKS));
}

#[tokio::test]
async fn a_provider_is_asked_with_the_operators_key_and_anthropic_is_not_asked() {
    let upstream = Upstream::start(vec![says(JSON, TOKENS)]).await;
    let provider = |kind: &str| {
        let spec = json!({"kind": kind, "base_url": format!("http://{}/v1", upstream.address)});
        let key = Some(Secret::new("sk-operator"));
        (kind.parse().unwrap(), serde_json::from_value(spec).unwrap(), key)
    };
    let store = Arc::new(MemoryStore::new(TokioClock::new()));
    let providers = [provider("openai"), provider("anthropic")];
    let local = Local::with_providers(Local::spec(), &Routes::new(), providers, store);
    let mut asked = form(Transcriptions, &[("model", "openai/whisper-1")]);
    asked.headers.insert("authorization", HeaderValue::from_static("Bearer the-caller"));
    let answer = walked(&local, asked).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-model"], "openai/whisper-1");
    let seen = &upstream.seen()[0];
    assert!(seen.starts_with("POST /v1/audio/transcriptions HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("authorization: Bearer sk-operator\r\n"), "{seen}");
    assert!(seen.contains("name=\"model\"\r\n\r\nwhisper-1\r\n--limit"), "{seen}");
    assert!(seen.contains(SOUND) && !seen.contains("the-caller"), "{seen}");
    for dialect in [Transcriptions, Translations, ImageEdits] {
        let asked = form(dialect, &[("model", "anthropic/claude")]);
        let error = walked(&local, asked).await.unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (ErrorKind::InvalidRequest, Some("model"))
        );
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn seconds_cost_no_tokens_and_tokens_cost_what_they_cost() {
    let fixture = Fixture::new(vec![says(JSON, SECONDS), says(JSON, TOKENS)], None).await;
    let limits = Limits { tokens_per_minute: Some(100_000), ..Limits::default() };
    let ask = async || {
        let asked = form(Transcriptions, &[("model", "hosted/gpt")]);
        fixture.local.gateway.walk(caller(limits), asked).await.unwrap()
    };
    let left = |answer: &Answer| -> u32 {
        answer.headers["x-ratelimit-remaining-tokens"].to_str().unwrap().parse().unwrap()
    };
    let answer = ask().await;
    assert!(!answer.headers.contains_key("x-diogenes-cost-usd"), "{:?}", answer.headers);
    let first = left(&answer);
    // What was set aside for it is free again.
    let answer = ask().await;
    assert_eq!(answer.headers["x-diogenes-cost-usd"], "0.000018000");
    assert_eq!(left(&answer), first);
    assert_eq!(left(&ask().await), first - 14);
}

#[tokio::test]
async fn what_has_no_bound_is_refused_under_a_budget_unless_it_costs_nothing() {
    let image = format!(r#"{{"created":1,"data":[{{"b64_json":"AAAA"}}],"model":"{}"}}"#, model());
    let fixture = Fixture::new(vec![says(JSON, &image)], Some("$1")).await;
    let own = Upstream::start(vec![says(JSON, &image)]).await;
    fixture.local.ready(&[("claim", own.address)]);
    let carded = "carded".parse().unwrap();
    fixture.local.publish_as(carded, &[("claim", own.address)], |_| {});
    let ask = |dialect, model: &str| match dialect {
        ImageGenerations => request(dialect, json!({"model": model, "prompt": "x"}).to_string()),
        _ => form(dialect, &[("model", model)]),
    };
    for (dialect, field) in [
        (Transcriptions, "file"),
        (Translations, "file"),
        (ImageGenerations, "prompt"),
        (ImageEdits, "prompt"),
    ] {
        for model in ["hosted/gpt", "carded"] {
            let error = walked(&fixture.local, ask(dialect, model)).await.unwrap_err();
            let told = (error.kind, error.param.as_deref());
            assert_eq!(told, (ErrorKind::InvalidRequest, Some(field)), "{dialect:?} {model}");
        }
        let answer = walked(&fixture.local, ask(dialect, model().as_str())).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!((fixture.hosted.seen().len(), own.seen().len()), (0, 4));
    assert_eq!(fixture.charged(Unit::NanoDollars).await, 0);
    let fixture = Fixture::new(vec![], Some("100k")).await;
    let error = walked(&fixture.local, ask(Transcriptions, model().as_str())).await.unwrap_err();
    assert_eq!(error.param.as_deref(), Some("file"));
}
