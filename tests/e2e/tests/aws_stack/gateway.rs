//! Routes and providers of a stack. A `serve` on this machine is the provider.

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::policy::{Account, Effect, Request, Roles};
use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::{Client, Config, Event, Model, Serve, eventually};
use serde_json::{Value, json};

use crate::cli::Operator;
use crate::{fast, slow};

/// A provider whose API key is a parameter of the stack.
pub(crate) struct Provider {
    serve: Serve,
    parameter: String,
}

impl Provider {
    /// With the model `small`.
    pub(crate) async fn start(stack: &Stack) -> Self {
        let serve = Serve::start(Config::with([Model::mock("small", &["--tokens", "5"])])).await;
        let parameter = format!("/diogenes/{}/providers/other", stack.deployment());
        let provider = Self { serve, parameter };
        let key = std::fs::read_to_string(provider.serve.data_dir().join("admin.key")).unwrap();
        provider.keep(stack, key.trim()).await;
        provider
    }

    /// Puts a key into the parameter.
    async fn keep(&self, stack: &Stack, key: &str) {
        let put = stack.front.ssm("test").put_parameter().name(&self.parameter).value(key);
        let kind = aws_sdk_ssm::types::ParameterType::SecureString;
        put.r#type(kind).overwrite(true).send().await.expect("a parameter");
    }

    fn base_url(&self) -> String {
        format!("{}/v1", self.serve.base_url())
    }

    pub(crate) fn spec(&self) -> Value {
        let key = json!({"ssm": self.parameter});
        json!({"kind": "openai", "base_url": self.base_url(), "api_key": key})
    }

    /// A client of the stack whose requests may leave.
    pub(crate) async fn caller(&self, admin: &Client, base_url: &str) -> Client {
        let wanted = json!({"email": "a@example.com", "egress": true});
        let created = admin.post("/api/v1/keys", &wanted).await.json();
        Client::new(base_url, created["key"].as_str().unwrap())
    }
}

#[tokio::test]
async fn a_provider_answers_until_the_own_model_is_ready() {
    let Some(stack) = Stack::start().await else { return };
    let (operator, admin) = (Operator::of(&stack).await, stack.admin().await);
    let provider = Provider::start(&stack).await;
    stack.apply(&admin, &slow("demo")).await;
    let (url, parameter) = (provider.base_url(), provider.parameter.as_str());
    operator
        .text(&["provider", "apply", "other", "--base-url", &url, "--api-key-ssm", parameter])
        .await;
    let checked = operator.json(&["provider", "check"]).await;
    assert_eq!(
        (&checked[0]["check"]["ok"], &checked[0]["check"]["models"]),
        (&json!(true), &json!(1))
    );
    operator.text(&["route", "apply", "assistant", "demo", "other/small", "--egress"]).await;

    let caller = provider.caller(&admin, &stack.gateway.base_url()).await;
    let first = eventually("the route is known", async || {
        let answer = caller.chat("assistant").await;
        if answer.status == 200 { Ok(answer) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(first.header("x-diogenes-model"), Some("other/small"), "{}", first.text());
    assert_eq!(first.header("x-diogenes-route"), Some("assistant; position=2; reason=cold"));
    // Nobody knows its price until one is imported, which routers learn with the catalog.
    assert_eq!(first.header("x-diogenes-cost-usd"), None);
    let list = json!({"source": "ours", "date": "2026-11-27", "providers": {"other": {
        "models": [{"match": ["small"], "price": {"input": "0", "output": "1000"}}]}}});
    assert_eq!(admin.put("/api/v1/prices/imported", &list).await.status, 201);
    eventually("the price is known", async || {
        let answer = caller.chat("other/small").await;
        match answer.header("x-diogenes-cost-usd") {
            Some("0.005000000") => Ok(()),
            other => Err(format!("{other:?}: {}", answer.text())),
        }
    })
    .await;
    let streamed = caller.chat_stream("other/small").await.all().await;
    assert!(matches!(&streamed[..], [.., Event::Done, Event::Comment(_)]), "{streamed:?}");
    crate::until_ready(&stack, &admin).await;
    eventually("the own model answers", async || {
        let answer = caller.chat("assistant").await;
        match answer.header("x-diogenes-model") {
            Some("demo") => Ok(()),
            _ => Err(answer.text()),
        }
    })
    .await;

    // A key that says nothing of egress stays here.
    let inference = stack.client(&[Scope::Inference]).await;
    let refused = inference.chat("other/small").await.refusal();
    assert_eq!(refused, (403, "egress_not_allowed".into()));
}

#[tokio::test]
async fn a_provider_whose_key_is_wrong_or_missing_is_told_to_the_operator() {
    let Some(stack) = Stack::start().await else { return };
    let (operator, admin) = (Operator::of(&stack).await, stack.admin().await);
    let provider = Provider::start(&stack).await;
    provider.keep(&stack, "dg_wrong").await;
    assert_eq!(admin.put("/api/v1/providers/other", &provider.spec()).await.status, 201);
    let (code, error) = operator.failure(&["provider", "check", "other"]).await;
    assert_eq!(code, 8, "{error}");
    let checked = admin.get("/api/v1/providers/other/check").await.json();
    assert_eq!((&checked["ok"], &checked["status"]), (&json!(false), &json!(401)), "{checked}");
    let caller = provider.caller(&admin, &stack.gateway.base_url()).await;
    let refused = caller.chat("other/small").await;
    assert_eq!(refused.refusal(), (502, "upstream_denied".into()), "{}", refused.text());
    assert!(!refused.text().contains("dg_wrong"), "{}", refused.text());

    let mut spec = provider.spec();
    spec["api_key"] = json!({"ssm": "/diogenes/nobody/providers/other"});
    assert_eq!(admin.put("/api/v1/providers/none", &spec).await.status, 201);
    let checked = admin.get("/api/v1/providers/none/check").await.json();
    let problem = checked["problem"].as_str().unwrap();
    assert!(problem.contains("does not exist in us-east-1"), "{problem}");
    spec["api_key"] = json!({"env": "OPENAI_API_KEY"});
    let refused = admin.put("/api/v1/providers/none", &spec).await;
    assert_eq!(refused.refusal(), (400, "invalid_request".into()), "{}", refused.text());
}

#[tokio::test]
async fn a_budget_holds_and_the_report_of_usage_tells_the_same() {
    let Some(stack) = Stack::start().await else { return };
    let (operator, admin) = (Operator::of(&stack).await, stack.admin().await);
    stack.apply(&admin, &fast("demo")).await;
    operator.text(&["pin", "demo"]).await;
    crate::until_ready(&stack, &admin).await;
    let created = admin.post("/api/v1/keys", &json!({"email": "a@example.com"})).await.json();
    let caller = Client::new(&stack.gateway.base_url(), created["key"].as_str().unwrap());
    let id = created["id"].as_str().unwrap();
    operator.text(&["budget", "set", "--key", id, "--tokens", "200", "--per", "day"]).await;
    let body =
        json!({"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5});
    let mut answered = 0;
    let refusal = loop {
        let answer = caller.post("/v1/chat/completions", &body).await;
        if answer.status == 402 {
            break answer;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        answered += 1;
        assert!(answered < 40, "200 tokens do not last that long");
    };
    assert!(answered > 0);
    assert_eq!(refusal.header("x-should-retry"), Some("false"), "{}", refusal.text());
    // Streamed as well.
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    assert_eq!(caller.post("/v1/chat/completions", &streamed).await.status, 402);

    let budget = admin.get(&format!("/api/v1/budgets/key/{id}/tokens/day")).await.json();
    let report = admin.get("/api/v1/usage?by=key").await.json();
    let row = report["data"].as_array().unwrap().iter().find(|row| row["name"] == id);
    let row = row.unwrap_or_else(|| panic!("{report}"));
    let used = row["prompt_tokens"].as_u64().unwrap() + row["completion_tokens"].as_u64().unwrap();
    assert_eq!(budget["charged"], json!(used.to_string()), "{budget}\n{report}");
    let count = |field: &str| row[field].as_u64().unwrap();
    assert_eq!((count("requests"), count("errors")), (answered + 2, 2), "{report}");
}

#[tokio::test]
async fn an_instance_may_read_parameters_of_its_stack_but_no_key_of_a_provider() {
    let Some(stack) = Stack::start().await else { return };
    let account = Account::of(&stack);
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
    let roles = Roles::read(std::path::Path::new(template), &account.values());
    let request = |name: &str| stack_request(&format!("/diogenes/{}/{name}", stack.deployment()));
    for (role, name, may) in [
        ("InstanceRole", "hf-token", true),
        ("InstanceRole", "providers/openai", false),
        ("RouterRole", "providers/openai", true),
        ("RouterRole", "hf-token", false),
    ] {
        assert_eq!(roles.allow(role, &request(name)), may, "{role} {name}");
    }
    let denies = roles.statements("InstanceRole").iter().any(|it| it.effect == Effect::Deny);
    assert!(denies, "a policy of the operator's must not open them either");
}

fn stack_request(parameter: &str) -> Request {
    let account = diogenes_e2e::aws::lambda::ACCOUNT;
    Request {
        action: "ssm:GetParameter".into(),
        resource: format!("arn:aws:ssm:us-east-1:{account}:parameter{parameter}"),
        context: std::collections::BTreeMap::new(),
    }
}
