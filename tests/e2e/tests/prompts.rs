//! Prompts of `serve`: pushed and labelled by the program, named by requests as OpenAI's clients name
//! them.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

use std::path::PathBuf;
use std::process::Output;

use diogenes_e2e::{Answer, Client, Config, Event, Model, Serve, eventually};
use serde_json::{Value, json};

const TUTOR: &str = "\
slug: tutor
model: small
messages:
  - role: system
    content: You teach {{ subject }}.
variables:
  - name: subject
default_config:
  max_tokens: 3
";

struct World {
    serve: Serve,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let small = Model::mock("small", &["--tokens", "5"]);
        let serve = Serve::start(Config::with([small])).await;
        let client = serve.client();
        Self { serve, client }
    }

    /// Pushes a file with this text.
    fn push(&self, text: &str, more: &[&str]) -> Output {
        let file: PathBuf = self.serve.data_dir().join("pushed.yaml");
        std::fs::write(&file, text).unwrap();
        let push = ["prompt", "push", file.to_str().unwrap()];
        self.serve.cli(&[&push[..], more].concat())
    }

    async fn ask(&self, prompt: Value) -> Answer {
        let body = json!({
            "prompt": prompt, "messages": [{"role": "user", "content": "Why?"}],
        });
        self.client.post("/v1/chat/completions", &body).await
    }

    async fn key(&self, scopes: &[&str]) -> Client {
        let body = json!({"email": "ada@example.com", "scopes": scopes});
        let made = self.client.post("/api/v1/keys", &body).await.json();
        self.serve.client_with(made["key"].as_str().unwrap())
    }
}

fn told(done: &Output) -> String {
    let text = [&done.stdout[..], &done.stderr[..]].concat();
    String::from_utf8(text).unwrap()
}

fn version(answer: &Answer) -> Option<&str> {
    answer.header("x-diogenes-prompt-version")
}

fn tutor() -> Value {
    json!({"id": "tutor", "variables": {"subject": "maths"}})
}

#[tokio::test]
async fn a_pushed_prompt_is_what_requests_mean() {
    let world = World::new().await;
    let pushed = world.push(TUTOR, &[]);
    assert!(told(&pushed).contains("pushed tutor:v1"), "{}", told(&pushed));
    assert!(told(&pushed).contains("diogenes prompt label tutor production v1"));
    // No label stands yet.
    let refused = world.ask(tutor()).await;
    assert_eq!(refused.refusal(), (404, "prompt_version_not_found".into()));
    assert!(world.serve.cli(&["prompt", "label", "tutor", "production", "v1"]).status.success());
    let answer = world.ask(tutor()).await;
    assert_eq!((answer.status.as_u16(), version(&answer)), (200, Some("tutor:v1")));
    assert_eq!(answer.header("x-diogenes-model"), Some("small"));
    assert_eq!(answer.json()["usage"]["completion_tokens"], 3, "the prompt's `max_tokens`");

    // The same again is no new version; another one tells what is different.
    let again = world.push(TUTOR, &[]);
    assert!(told(&again).contains("tutor:v1 says the same"), "{}", told(&again));
    let second = world.push(&TUTOR.replace("teach", "explain"), &["-m", "plainer"]);
    assert!(told(&second).contains("[-teach-]{+explain+}"), "{}", told(&second));
    assert_eq!(version(&world.ask(tutor()).await), Some("tutor:v1"));
    let label = ["prompt", "label", "tutor", "production", "v2", "--reason", "plainer"];
    assert!(world.serve.cli(&label).status.success());
    eventually("the label is followed", async || {
        let answer = world.ask(tutor()).await;
        if version(&answer) == Some("tutor:v2") { Ok(()) } else { Err(answer.text()) }
    })
    .await;

    let shown = told(&world.serve.cli(&["prompt", "show", "tutor"]));
    assert!(shown.contains("plainer"), "{shown}");
    let diff = told(&world.serve.cli(&["prompt", "diff", "tutor:v1", "tutor:v2"]));
    assert!(diff.contains("[-teach-]{+explain+}") && diff.contains("by words"), "{diff}");
    let rendered =
        told(&world.serve.cli(&["prompt", "render", "tutor", "--var", "subject={{ x }}"]));
    assert!(rendered.contains("You explain {{ x }}."), "{rendered}");
    let restarted = world.serve.crash_and_restart().await;
    let world = World { client: restarted.client(), serve: restarted };
    assert_eq!(version(&world.ask(tutor()).await), Some("tutor:v2"));
}

#[tokio::test]
async fn responses_and_streams_name_prompts_too() {
    let world = World::new().await;
    assert!(world.push(TUTOR, &["--label", "production"]).status.success());
    let body = json!({"prompt": tutor(), "input": "Why?"});
    let answer = world.client.post("/v1/responses", &body).await;
    assert_eq!(
        (answer.status.as_u16(), version(&answer)),
        (200, Some("tutor:v1")),
        "{}",
        answer.text()
    );
    let body = json!({"prompt": tutor(), "stream": true});
    let events = world.client.stream("/v1/chat/completions", &body).await.all().await;
    assert_eq!(events.last(), Some(&Event::Done));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place_and_nothing_is_lost() {
    let world = World::new().await;
    for (text, part) in [
        (
            TUTOR.replace("{{ subject }}", "{{ subjekt }}"),
            "`messages[0].content` line 1: `subjekt`",
        ),
        (TUTOR.replace("{{ subject }}", "{{ subject"), "`messages[0].content` line 1: "),
        (TUTOR.replace("slug: tutor", "slug: a/b:c"), "without slashes"),
        (TUTOR.replace("max_tokens: 3", "max_tokens: 0"), "default_config.max_tokens"),
        (TUTOR.replace("role: system", "role: boss"), "messages[0].role"),
    ] {
        let pushed = world.push(&text, &[]);
        assert!(!pushed.status.success() && told(&pushed).contains(part), "{}", told(&pushed));
    }
    assert_eq!(world.client.get("/api/v1/prompts").await.json()["data"], json!([]));
    assert!(world.push(TUTOR, &["--label", "production"]).status.success());
    for (prompt, refusal, param) in [
        (json!({"id": "absent"}), (404, "prompt_not_found"), "prompt"),
        (json!({"id": "tutor:v9"}), (404, "prompt_version_not_found"), "prompt"),
        (json!({"id": "tutor", "version": "b a"}), (400, "invalid_request"), "prompt.version"),
        (json!({"id": "tutor"}), (400, "prompt_not_rendered"), "prompt.variables.subject"),
    ] {
        let answer = world.ask(prompt).await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()));
        assert_eq!(answer.json()["error"]["param"], param);
    }
    let exploding = TUTOR.replace(
        "You teach {{ subject }}.",
        "\"{% for a in range(99999) %}{% for b in range(99999) %}{{ subject }}{% endfor %}{% endfor %}\"",
    );
    assert!(world.push(&exploding, &[]).status.success());
    let answer = world.ask(json!({"id": "tutor:v2", "variables": {"subject": "x"}})).await;
    assert_eq!(answer.refusal(), (400, "prompt_not_rendered".into()));
    assert_eq!(answer.json()["error"]["param"], "prompt.messages[0].content");
    assert_eq!(version(&world.ask(tutor()).await), Some("tutor:v1"));
}

#[tokio::test]
async fn protected_labels_and_the_end_of_a_prompt() {
    let world = World::new().await;
    assert!(world.push(TUTOR, &["--label", "production"]).status.success());
    let writer = world.key(&["prompts:write", "inference"]).await;
    let pushed = json!({"messages": [{"role": "user", "content": "new"}], "model": "small"});
    assert_eq!(writer.post("/api/v1/prompts/tutor/versions", &pushed).await.status, 201);
    let label = |name: &str| format!("/api/v1/prompts/tutor/labels/{name}");
    let to = json!({"version": "v2"});
    assert_eq!(writer.put(&label("staging"), &to).await.status, 200);
    let refused = writer.put(&label("production"), &to).await;
    assert_eq!(refused.refusal(), (403, "insufficient_scope".into()));
    let releaser = world.key(&["prompts:release"]).await;
    let elsewhere = json!({"version": "v2", "from": 2});
    let refused = releaser.put(&label("production"), &elsewhere).await;
    assert_eq!(refused.refusal(), (409, "conflict".into()));
    assert_eq!(releaser.put(&label("production"), &to).await.status, 200);

    let delete = ["prompt", "delete", "tutor", "--yes"];
    let refused = world.serve.cli(&delete);
    assert!(told(&refused).contains("archive it first"), "{}", told(&refused));
    assert!(world.serve.cli(&["prompt", "archive", "tutor"]).status.success());
    assert_eq!(world.ask(tutor()).await.refusal(), (409, "prompt_archived".into()));
    assert!(world.serve.cli(&["prompt", "restore", "tutor"]).status.success());
    let answer = world.ask(json!({"id": "tutor"})).await;
    assert_eq!(version(&answer), Some("tutor:v2"), "{}", answer.text());
    assert!(world.serve.cli(&["prompt", "archive", "tutor"]).status.success());
    assert!(world.serve.cli(&delete).status.success());
    assert_eq!(world.ask(tutor()).await.refusal(), (404, "prompt_not_found".into()));
    assert_eq!(world.serve.cli(&["prompt", "show", "tutor"]).status.code(), Some(6));
    let audit = world.client.get("/api/v1/audit?target=prompt/tutor").await.json();
    let actions = audit["data"].as_array().unwrap().iter().rev().map(|one| one["action"].clone());
    let expected =
        ["push", "label", "push", "label", "label", "archive", "restore", "archive", "delete"];
    let expected: Vec<_> = expected.iter().map(|what| json!(format!("prompt.{what}"))).collect();
    assert_eq!(actions.collect::<Vec<_>>(), expected);
}
