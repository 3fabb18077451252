//! Deployments of prompts in `serve`, seen from outside: by clients of OpenAI's API and the program.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

use std::process::Output;

use diogenes_e2e::{Client, Config, Model, Serve, eventually};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// How many requests are under way at once.
const AT_ONCE: usize = 8;

struct World {
    serve: Serve,
    client: Client,
}

/// Whom a request met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Version(u32),
    /// It failed; only the model of the second version does.
    Failure,
}

impl World {
    /// With the prompt `tutor`: its first version, which is live, asks the model `old`, its second
    /// one `next`. Both models are up.
    async fn new() -> Self {
        let world = Self::asleep().await;
        for model in ["old", "next"] {
            world.client.scale(model, "up").await;
            world.client.until(model, "ready").await;
        }
        world
    }

    /// The same before any model is up.
    async fn asleep() -> Self {
        let models = ["old", "next"].map(|name| Model::mock(name, &["--tokens", "2"]));
        let serve = Serve::start(Config::with(models)).await;
        let client = serve.client();
        let world = Self { serve, client };
        for model in ["old", "next"] {
            let pushed = json!({
                "messages": [{"role": "system", "content": format!("You are {model}.")}],
                "model": model,
            });
            let answer = world.client.post("/api/v1/prompts/tutor/versions", &pushed).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        let label = json!({"version": "v1"});
        world.client.put("/api/v1/prompts/tutor/labels/production", &label).await;
        world
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        self.serve.cli(arguments)
    }

    /// Creates a deployment with these flags, and returns its id.
    fn create(&self, flags: &[&str]) -> String {
        let create = ["deploy", "create", "tutor", "--to", "v2", "-o", "json"];
        let created = self.cli(&[&create[..], flags].concat());
        assert!(created.status.success(), "{}", told(&created));
        let body: Value = serde_json::from_slice(&created.stdout).unwrap();
        body["id"].as_str().unwrap().to_owned()
    }

    async fn ask(&self) -> Met {
        let body = json!({
            "prompt": {"id": "tutor"}, "messages": [{"role": "user", "content": "Why?"}],
        });
        let answer = self.client.post("/v1/chat/completions", &body).await;
        match answer.header("x-diogenes-prompt-version") {
            Some("tutor:v1") => Met::Version(1),
            Some("tutor:v2") if answer.status.is_success() => Met::Version(2),
            _ => {
                assert!(answer.status.is_server_error(), "{}", answer.text());
                Met::Failure
            }
        }
    }

    /// So many requests, none of a named user.
    async fn traffic(&self, requests: usize) -> Vec<Met> {
        let mut met = Vec::new();
        for _ in 0..requests.div_ceil(AT_ONCE) {
            met.extend(join_all((0..AT_ONCE).map(|_| self.ask())).await);
        }
        met
    }

    async fn status(&self, id: &str) -> Value {
        self.client.get(&format!("/api/v1/deployments/{id}/status")).await.json()
    }

    /// Makes requests until the deployment has this share.
    async fn until_share(&self, id: &str, share: u64) {
        eventually("the share", async || {
            self.traffic(40).await;
            let status = self.status(id).await;
            let is_there = status["rollout"]["current_percentage"] == share;
            if is_there { Ok(()) } else { Err(status) }
        })
        .await;
    }

    /// The share of the second version among so many requests, in per cent.
    async fn share(&self, requests: usize) -> usize {
        let met = self.traffic(requests).await;
        met.iter().filter(|met| **met == Met::Version(2)).count() * 100 / met.len()
    }
}

fn told(done: &Output) -> String {
    let text = [&done.stdout[..], &done.stderr[..]].concat();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_version_that_fails_loses_its_share_and_the_old_one_answers_everybody() {
    let world = World::new().await;
    let flags = ["--initial", "5", "--increment", "15", "--interval", "1s", "--auto-rollback"];
    let id = world.create(&flags);
    // Nothing happens before somebody approves it.
    assert_eq!(world.share(40).await, 0);
    assert_eq!(world.status(&id).await["status"], "PENDING_APPROVAL");
    let approve = world.cli(&["deploy", "approve", &id, "--comment", "looks good"]);
    assert!(approve.status.success(), "{}", told(&approve));
    world.until_share(&id, 5).await;
    let share = world.share(200).await;
    assert!(share < 15, "{share} %");
    world.until_share(&id, 20).await;
    // It stays there, and is rolled back all the same.
    assert!(world.cli(&["deploy", "pause", &id]).status.success());
    let share = world.share(200).await;
    assert!((8..35).contains(&share), "{share} %");

    world.client.set_faults("next", &json!({"fail_first": 1_000_000_000})).await;
    eventually("the rollback", async || {
        let met = world.traffic(40).await;
        let is_over = met.iter().all(|met| *met == Met::Version(1));
        let status = world.status(&id).await;
        if is_over && status["status"] == "ROLLED_BACK" { Ok(()) } else { Err(status) }
    })
    .await;
    let met = world.traffic(300).await;
    assert!(met.iter().all(|met| *met == Met::Version(1)));

    let status = world.status(&id).await;
    let why = status["status_message"].as_str().unwrap();
    assert!(why.contains("failed requests") && why.contains("20 %"), "{why}");
    assert!(status["current_metrics"]["error_rate"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!(status["baseline_metrics"]["error_rate"], 0.0);
    let watch = world.cli(&["deploy", "status", &id, "--watch"]);
    assert_eq!(watch.status.code(), Some(100), "{}", told(&watch));
    let history = told(&world.cli(&["deploy", "history", "tutor"]));
    assert!(history.contains("ROLLED_BACK") && history.contains("v2→v1"), "{history}");
    // The version is still there to be looked at.
    assert!(told(&world.cli(&["prompt", "show", "tutor:v2"])).contains("You are next."));
}

#[tokio::test]
async fn a_version_without_faults_reaches_everybody_also_over_a_crash_and_can_be_taken_back() {
    let world = World::new().await;
    let flags = ["--initial", "40", "--increment", "60", "--interval", "1s", "--skip-approval"];
    let id = world.create(&flags);
    world.until_share(&id, 40).await;
    let restarted = world.serve.crash_and_restart().await;
    let world = World { client: restarted.client(), serve: restarted };
    for model in ["old", "next"] {
        world.client.until(model, "ready").await;
    }
    eventually("the end", async || {
        world.traffic(40).await;
        let status = world.status(&id).await;
        if status["status"] == "COMPLETED" { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(world.traffic(100).await.iter().all(|met| *met == Met::Version(2)));
    let shown = told(&world.cli(&["prompt", "show", "tutor"]));
    assert!(shown.contains(&format!("deployment {id}")), "{shown}");

    let back = world.cli(&["deploy", "rollback", &id, "--yes", "--reason", "too wordy"]);
    assert!(told(&back).contains("ROLLED_BACK") && told(&back).contains("too wordy"));
    assert!(world.traffic(100).await.iter().all(|met| *met == Met::Version(1)));
}

#[tokio::test]
async fn a_version_whose_model_sleeps_meets_nobody_before_that_is_up() {
    let world = World::asleep().await;
    world.client.scale("old", "up").await;
    world.client.until("old", "ready").await;
    let id = world.create(&["--strategy", "immediate", "--skip-approval"]);
    eventually("the end", async || {
        let status = world.status(&id).await;
        if status["status"] == "COMPLETED" {
            return Ok(());
        }
        // A request for the version that sleeps would start its model, and wait for it.
        assert!(!world.traffic(8).await.contains(&Met::Failure));
        Err(status)
    })
    .await;
    let body = json!({
        "prompt": {"id": "tutor"}, "messages": [{"role": "user", "content": "Why?"}],
    });
    let answer = world.client.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.header("x-diogenes-prompt-version"), Some("tutor:v2"));
    assert_eq!(answer.header("x-diogenes-cold-start-ms").unwrap_or("0"), "0");
}

#[tokio::test]
async fn users_meet_one_version_and_requests_that_name_a_version_meet_that() {
    let world = World::new().await;
    let id = world.create(&["--initial", "50", "--skip-approval"]);
    eventually("the start", async || {
        let status = world.status(&id).await;
        if status["status"] == "IN_PROGRESS" { Ok(()) } else { Err(status) }
    })
    .await;
    let mut met = Vec::new();
    for user in 0..12 {
        let mut versions = Vec::new();
        for _ in 0..3 {
            let body = json!({
                "prompt": {"id": "tutor"}, "user": format!("user-{user}"),
                "messages": [{"role": "user", "content": "Why?"}],
            });
            let answer = world.client.post("/v1/chat/completions", &body).await;
            versions.push(answer.header("x-diogenes-prompt-version").unwrap().to_owned());
        }
        versions.dedup();
        assert_eq!(versions.len(), 1, "{versions:?}");
        met.extend(versions);
    }
    met.sort();
    met.dedup();
    assert_eq!(met, ["tutor:v1", "tutor:v2"], "of twelve users some meet each version");
    for version in ["v1", "v2"] {
        let body = json!({
            "prompt": {"id": "tutor", "version": version},
            "messages": [{"role": "user", "content": "Why?"}],
        });
        let answer = world.client.post("/v1/chat/completions", &body).await;
        let expected = format!("tutor:{version}");
        assert_eq!(answer.header("x-diogenes-prompt-version"), Some(expected.as_str()));
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_and_the_requests_stay_where_they_are() {
    let world = World::new().await;
    let wanted = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "prompt_id": "tutor", "to_version": 2, "environment": "production",
            "strategy": {"type": "DEPLOYMENT_TYPE_GRADUAL"},
        });
        change(&mut body);
        body
    };
    for (change, refusal, param) in [
        (
            &(|body: &mut Value| body["prompt_id"] = "absent".into()) as &dyn Fn(&mut Value),
            (404, "prompt_not_found"),
            "prompt_id",
        ),
        (&|body| body["to_version"] = 9.into(), (404, "prompt_version_not_found"), "to_version"),
        (&|body| body["to_version"] = 1.into(), (400, "invalid_request"), "to_version"),
        (
            &|body| body["environment"] = "staging".into(),
            (404, "prompt_version_not_found"),
            "environment",
        ),
        (
            &|body| body["strategy"]["initial_percentage"] = 0.into(),
            (400, "invalid_request"),
            "strategy.initial_percentage",
        ),
        (
            &|body| body["strategy"]["initial_percentage"] = 101.into(),
            (400, "invalid_request"),
            "strategy.initial_percentage",
        ),
        (
            &|body| body["strategy"]["interval_seconds"] = 0.into(),
            (400, "invalid_request"),
            "strategy.interval_seconds",
        ),
    ] {
        let body = wanted(change);
        let answer = world.client.post("/api/v1/deployments", &body).await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{body}");
        assert_eq!(answer.json()["error"]["param"], param, "{body}: {}", answer.text());
    }
    let id = world.create(&[]);
    let second = world.client.post("/api/v1/deployments", &wanted(&|_| {})).await;
    assert_eq!(second.refusal(), (409, "conflict".into()));
    assert!(second.text().contains(&id), "{}", second.text());
    let label = json!({"version": "v2"});
    let moved = world.client.put("/api/v1/prompts/tutor/labels/production", &label).await;
    assert_eq!(moved.refusal(), (409, "conflict".into()));
    let order = |what: &str| format!("/api/v1/deployments/{id}/{what}");
    let early = world.client.post(&order("promote"), &json!({})).await;
    assert_eq!(early.refusal(), (409, "conflict".into()));
    assert!(early.text().contains("PENDING_APPROVAL"), "{}", early.text());
    assert_eq!(world.client.post(&order("cancel"), &json!({})).await.status, 200);
    let late = world.client.post(&order("approve"), &json!({})).await;
    assert!(late.text().contains("it has ended"), "{}", late.text());
    assert_eq!(world.share(20).await, 0);
}

/// The examples of the service that deployments are modelled on, as they are printed there.
#[tokio::test]
async fn strategies_are_taken_as_they_are_printed() {
    let world = World::new().await;
    for strategy in [
        json!({"type": "DEPLOYMENT_TYPE_IMMEDIATE"}),
        json!({
            "type": "DEPLOYMENT_TYPE_GRADUAL",
            "initial_percentage": 10, "increment": 10, "interval_seconds": 300,
        }),
        json!({
            "type": "DEPLOYMENT_TYPE_CANARY",
            "initial_percentage": 5, "auto_rollback": true, "rollback_threshold": 0.8,
        }),
        json!({"type": "DEPLOYMENT_TYPE_BLUE_GREEN"}),
    ] {
        let body = json!({
            "prompt_id": "tutor", "to_version": 2, "environment": "production",
            "strategy": strategy, "skip_approval": false,
        });
        let created = world.client.post("/api/v1/deployments", &body).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let created = created.json();
        for (name, value) in strategy.as_object().unwrap() {
            assert_eq!(&created["strategy"][name], value, "{name}");
        }
        let cancel = format!("/api/v1/deployments/{}/cancel", created["id"].as_str().unwrap());
        assert_eq!(world.client.post(&cancel, &json!({})).await.status, 200);
    }
}
