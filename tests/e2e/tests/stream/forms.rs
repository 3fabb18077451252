//! Sound and images: forms with files, and answers that are not JSON.

use diogenes_e2e::{Config, Event, EventStream, Model, Serve};
use serde_json::json;

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

/// Bytes of every kind, with line breaks and dashes among them.
fn sound(length: usize) -> Vec<u8> {
    let pattern = (0..=255_u8).chain(*b"\r\n--\r\n\r\n--a-limit-of-the-test\r\n");
    pattern.cycle().take(length).collect()
}

/// What the mock says of a file that arrived whole.
fn heard(file: &[u8]) -> String {
    let sum: u64 = file.iter().map(|byte| u64::from(*byte)).sum();
    format!("{} bytes with the sum {sum}", file.len())
}

#[tokio::test]
async fn a_file_arrives_whole_and_the_answer_is_in_the_form_that_was_asked_for() {
    let model = Model::mock("demo", &[]).line("aliases = [\"whisper-1\"]");
    let (_serve, client) = Serve::ready(model).await;
    let file = sound(100_000);
    let says = format!("Hello from the mock model: {} in de.", heard(&file));
    let ask = async |path: &str, fields: &[(&str, &str)]| {
        let fields = [fields, &[("model", "whisper-1"), ("language", "de")]].concat();
        client.send(client.form(path, &fields, ("file", &file))).await
    };
    for path in [TRANSCRIPTIONS, "/v1/audio/translations"] {
        let answer = ask(path, &[]).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["text"]), (200, &json!(says)));
        assert_eq!(answer.json()["usage"], json!({"type": "duration", "seconds": 4}));
        assert_eq!(answer.header("x-diogenes-model"), Some("demo"));
    }
    let answer = ask(TRANSCRIPTIONS, &[("response_format", "verbose_json")]).await.json();
    assert_eq!((&answer["task"], &answer["language"]), (&json!("transcribe"), &json!("de")));
    let answer = ask(TRANSCRIPTIONS, &[("response_format", "text")]).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.text(), format!("{says}\n"));
    // A form of its own error.
    let refused = ask(TRANSCRIPTIONS, &[("response_format", "srt")]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["error"]["code"].as_u64()),
        (400, Some(400))
    );
}

#[tokio::test]
async fn a_cold_model_is_waited_for_plain_and_streamed() {
    let slow = |name| Model::mock(name, &["--load-weights-delay", "1s"]);
    let serve = Serve::start(Config::with([slow("plain"), slow("streamed")])).await;
    let client = serve.client();
    let file = sound(5000);
    let plain = client.send(client.form(TRANSCRIPTIONS, &[("model", "plain")], ("file", &file)));
    let fields = [("model", "streamed"), ("stream", "true")];
    let streamed = async {
        let request = client.form(TRANSCRIPTIONS, &fields, ("file", &file));
        EventStream::new(request.send().await.expect("an answer")).all().await
    };
    let (plain, events) = tokio::join!(plain, streamed);
    assert!(plain.header("x-diogenes-cold-start-ms").is_some(), "{}", plain.text());
    assert!(plain.text().contains(&heard(&file)));
    assert!(matches!(events.first(), Some(Event::Comment(_))), "{events:?}");
    let text = events.iter().filter_map(|event| match event {
        Event::Data(chunk) => chunk["choices"][0]["delta"]["content"].as_str(),
        Event::Comment(_) | Event::Done => None,
    });
    assert!(text.collect::<String>().contains(&heard(&file)), "{events:?}");
    assert_eq!(events.last(), Some(&Event::Done));
}

#[tokio::test]
async fn cut_transcripts_are_never_passed_off_as_whole() {
    let (_serve, client) = Serve::ready(Model::mock("demo", &["--cut-after", "3"])).await;
    for format in ["json", "text", "verbose_json"] {
        let fields = [("model", "demo"), ("response_format", format)];
        let answer = client.send(client.form(TRANSCRIPTIONS, &fields, ("file", b"x"))).await;
        assert_eq!(answer.refusal(), (502, "upstream_cut".into()), "{format}");
    }
    let fields = [("model", "demo"), ("stream", "True")];
    let answer = client.send(client.form(TRANSCRIPTIONS, &fields, ("file", b"x"))).await;
    assert!(answer.text().contains("\"upstream_cut\""), "{}", answer.text());
    assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
}

#[tokio::test]
async fn images_are_made_and_changed() {
    let (_serve, client) = Serve::ready(Model::mock("demo", &[])).await;
    let body = json!({"model": "demo", "prompt": "a barrel", "n": 2});
    let answer = client.post("/v1/images/generations", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
    let file = sound(3000);
    let fields = [("model", "demo"), ("prompt", "a lamp")];
    let answer = client.send(client.form("/v1/images/edits", &fields, ("image[]", &file))).await;
    let told = answer.json()["data"][0]["revised_prompt"].clone();
    assert_eq!(told, json!(format!("a lamp: {}", heard(&file))));
}

#[tokio::test]
async fn forms_that_are_none_are_refused_and_files_are_in_no_log() {
    let config = Config::with([Model::mock("demo", &[])]).line("max_body_bytes = 100000");
    let mut serve = Serve::start_with(config, &[("DIOGENES_LOG", "trace")]).await;
    let client = serve.client();
    let ask = async |fields: &[(&str, &str)]| {
        client.send(client.form(TRANSCRIPTIONS, fields, ("file", b"xyzzy-plugh"))).await
    };
    assert_eq!(ask(&[("model", "demo")]).await.status, 200);
    for (fields, param) in [
        (&[][..], "model"),
        (&[("model", "demo"), ("model", "other")], "model"),
        (&[("model", "demo"), ("stream", "yes")], "stream"),
    ] {
        let refused = ask(fields).await;
        let told = refused.json()["error"]["param"].clone();
        assert_eq!((refused.status.as_u16(), told), (400, json!(param)), "{}", refused.text());
    }
    let refused = client.post(TRANSCRIPTIONS, &json!({"model": "demo"})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("multipart/form-data"), "{}", refused.text());
    let path = "/v1/images/generations";
    let refused = client.send(client.form(path, &[("model", "demo")], ("file", b"x"))).await;
    assert!(refused.text().contains("application/json"), "{}", refused.text());
    let large = client.form(TRANSCRIPTIONS, &[("model", "demo")], ("file", &vec![0; 100_000]));
    assert_eq!(client.send(large).await.refusal(), (413, "body_too_large".into()));
    serve.terminate().await;
    let log = serve.log();
    assert!(!log.contains("xyzzy-plugh") && !log.contains("secret.wav"), "{log}");
}
