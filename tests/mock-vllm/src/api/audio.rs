//! `/v1/audio/transcriptions` and `/v1/audio/translations`: what is said of a file tells its size.

use serde_json::{Value, json};

use super::error::ApiError;
use super::form::{Form, heard};
use super::plan::{Usage, served_model};
use super::reply::{Answer, AnswerContent, Events, JSON, Pace, json};
use crate::engine::{Engine, Outcome, now_seconds};

/// The bytes of a second: 16,000 samples of 16 bits.
const BYTES_PER_SECOND: usize = 32_000;

/// What the two endpoints call themselves.
struct Task {
    id: &'static str,
    chunk: &'static str,
    name: &'static str,
}

/// The answer to a request for a transcript.
pub(crate) fn transcription(
    engine: &Engine,
    client_id: Option<&str>,
    form: &Form,
) -> Result<Answer, ApiError> {
    let task = Task { id: "trsc-", chunk: "transcription.chunk", name: "transcribe" };
    answer(engine, client_id, form, &task)
}

/// The answer to a request for a translation.
pub(crate) fn translation(
    engine: &Engine,
    client_id: Option<&str>,
    form: &Form,
) -> Result<Answer, ApiError> {
    let task = Task { id: "trsl-", chunk: "translation.chunk", name: "translate" };
    answer(engine, client_id, form, &task)
}

fn answer(
    engine: &Engine,
    client_id: Option<&str>,
    form: &Form,
    task: &Task,
) -> Result<Answer, ApiError> {
    let model = served_model(engine, form.text("model"))?;
    let file = form.file(&["file"])?;
    let language = form.text("language").unwrap_or_else(|| "en".into());
    let seconds = file.len().div_ceil(BYTES_PER_SECOND);
    let text = format!("Hello from the mock model: {} in {language}.", heard(file));
    let words = u32::try_from(text.split(' ').count()).unwrap_or(u32::MAX);
    let content = if form.is_set("stream") {
        let id = engine.request_id(task.id, client_id);
        let with_usage = form.is_set("stream_include_usage");
        AnswerContent::Stream(events(&id, &model, &text, task, with_usage.then_some(words)))
    } else {
        match form.text("response_format").as_deref() {
            None | Some("json") => {
                let usage = json!({"type": "duration", "seconds": seconds});
                AnswerContent::Whole(json(&json!({"text": text, "usage": usage})), JSON)
            }
            Some("verbose_json") => {
                let segment = json!({
                    "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [],
                    "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0,
                    "no_speech_prob": null,
                });
                let body = json!({
                    "task": task.name, "language": language, "duration": seconds.to_string(),
                    "text": text, "segments": [segment], "words": null,
                });
                AnswerContent::Whole(json(&body), JSON)
            }
            Some("text") => {
                AnswerContent::Whole(format!("{text}\n").into(), "text/plain; charset=utf-8")
            }
            Some(other) => {
                let message =
                    "Currently only support response_format: `text`, `json` or `verbose_json`";
                return Err(ApiError::invalid("response_format", other, message));
            }
        }
    };
    let outcome = Outcome::Stopped;
    Ok(Answer { prompt_tokens: 0, completion_tokens: words, steps: words, outcome, content })
}

/// One event for each word, then the usage if asked for.
fn events(id: &str, model: &str, text: &str, task: &Task, words: Option<u32>) -> Events {
    let chunk = |choices: Value, usage: Option<Usage>| {
        let mut chunk = json!({
            "id": id, "object": task.chunk, "created": now_seconds(), "model": model,
            "choices": choices,
        });
        if let (Some(usage), Some(fields)) = (usage, chunk.as_object_mut()) {
            fields.insert("usage".into(), json!(usage));
        }
        chunk
    };
    let mut events = Events::default();
    let mut pace = Pace::First;
    for word in text.split_inclusive(' ') {
        let delta =
            json!([{"delta": {"content": word}, "finish_reason": null, "stop_reason": null}]);
        events.push(pace, 1, &chunk(delta, None));
        pace = Pace::Token;
    }
    let end = json!([{"delta": {"content": ""}, "finish_reason": "stop", "stop_reason": null}]);
    events.push(Pace::Now, 0, &chunk(end, None));
    if let Some(words) = words {
        events.push(Pace::Now, 0, &chunk(json!([]), Some(Usage::new(0, words))));
    }
    events.push_done();
    events
}
