//! Many calls at once through routers that share a table of DynamoDB, of which some fail, some are
//! cut, and some callers hang up: what is charged never passes the cap, and in the end the ledger,
//! the report and the answers agree.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_backends::system::SystemClock;
use diogenes_conformance::dynoxide;
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{SecretSource, Wake};
use diogenes_core::secret::{Secret, SecretRef};
use diogenes_core::tenancy::Principal;
use diogenes_functions::http_functions::{self, NoWake};
use diogenes_functions::start::Base;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How many calls there are; more of them take the emulator longer.
const CALLS: u64 = 200;
/// As many routers as there may be at once.
const ROUTERS: u64 = 16;
/// The most that a call can use.
const MOST_TOKENS: u64 = 100;
/// Of one call, in nano-dollars: some two thirds of what a call comes to in the mean.
const CAP_OF_A_CALL: u64 = 60_000;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    WholeStream,
    Failure,
    CutStream,
    /// The caller hangs up in the middle.
    HungUp,
}

impl Fate {
    /// Those whose cost their caller is told.
    const TOLD: [Self; 3] = [Self::Whole, Self::WholeStream, Self::Failure];
    const ALL: [Self; 5] =
        [Self::Whole, Self::WholeStream, Self::Failure, Self::CutStream, Self::HungUp];

    fn streams(self) -> bool {
        matches!(self, Self::WholeStream | Self::CutStream | Self::HungUp)
    }
}

/// A provider whose answers are as the request says: `whole 7`.
async fn provider() -> String {
    async fn answer(body: Bytes) -> Response {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let asked = body["messages"][0]["content"].as_str().unwrap();
        let (fate, tokens) = asked.split_once(' ').unwrap();
        let tokens: u64 = tokens.parse().unwrap();
        let usage = json!({"id": "1", "choices": [],
            "usage": {"prompt_tokens": 40, "completion_tokens": tokens}});
        let event = |data: String| Ok(Bytes::from(format!("data: {data}\n\n")));
        let text = json!({"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}}]});
        let begun = event(text.to_string());
        let events: Vec<Result<Bytes, &str>> = match fate {
            "Whole" => return axum::Json(usage).into_response(),
            "Failure" => {
                let error = json!({"error": {"message": "no", "type": "x", "code": "x"}});
                return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(error)).into_response();
            }
            "WholeStream" => vec![begun, event(usage.to_string()), event("[DONE]".into())],
            _ => vec![begun],
        };
        let events = stream::iter(events);
        let body = match fate {
            // It says nothing more.
            "HungUp" => Body::from_stream(events.chain(stream::pending())),
            "CutStream" => Body::from_stream(events.chain(stream::once(async {
                // What comes with the end of its connection may not leave at all.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err("cut")
            }))),
            _ => Body::from_stream(events),
        };
        ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}/v1")
}

struct NoSecrets;

#[async_trait]
impl SecretSource for NoSecrets {
    async fn read(&self, _: &SecretRef) -> Result<Secret, String> {
        Err("does not exist".into())
    }
}

fn config() -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(dynoxide::endpoint())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// What a process of a function has of its own.
fn base(table: &str) -> Base {
    let (config, clock) = (config(), Arc::new(SystemClock));
    let client = aws_sdk_dynamodb::Client::new(&config);
    let store = Arc::new(DynamoStore::new(client, table, clock.clone()));
    let (region, table) = ("us-east-1".into(), table.into());
    Base { config, region, table, store, clock }
}

struct Stack {
    routers: Vec<Router>,
    keys: Router,
    cluster: Router,
}

impl Stack {
    /// Over an empty table of this name, with the provider `hosted`.
    async fn new(table: &str) -> Self {
        create_table(&aws_sdk_dynamodb::Client::new(&config()), table).await.unwrap();
        let wake: Arc<dyn Wake> = Arc::new(NoWake);
        let base = base(table);
        let stack = Self {
            routers: (0..ROUTERS)
                .map(|_| {
                    let base = self::base(table);
                    http_functions::inference(&base, &wake, Arc::new(NoSecrets)).unwrap()
                })
                .collect(),
            keys: http_functions::keys(&base),
            cluster: http_functions::cluster(&base, &wake).unwrap(),
        };
        let spec = json!({"kind": "openai", "base_url": provider().await});
        stack.control(&stack.cluster, Method::PUT, "/api/v1/providers/hosted", &spec).await;
        let prices = json!({"source": "test", "date": "2026-11-27", "providers": {"hosted": {
            "models": [{"match": ["gpt"], "price": {"input": "1", "output": "2"}}]}}});
        stack.control(&stack.cluster, Method::PUT, "/api/v1/prices/imported", &prices).await;
        stack
    }

    async fn control(&self, to: &Router, method: Method, path: &str, body: &Value) -> Value {
        let by = Principal::operator();
        let response = ask(to, by, method, path, body).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// A key with a cap, and the id of its budget.
    async fn key(&self, cap: u64) -> (KeyId, String) {
        let wanted = json!({"email": "ada@example.com", "egress": true});
        let created = self.control(&self.keys, Method::POST, "/api/v1/keys", &wanted).await;
        let id = created["id"].as_str().unwrap();
        let budget = format!("key/{id}/usd/total");
        let cap = json!({"cap": format!("${}.{:09}", cap / 1_000_000_000, cap % 1_000_000_000)});
        let path = format!("/api/v1/budgets/{budget}");
        self.control(&self.cluster, Method::PUT, &path, &cap).await;
        (KeyId::from_caller(id), budget)
    }

    async fn get(&self, path: &str) -> Value {
        self.control(&self.cluster, Method::GET, path, &Value::Null).await
    }

    /// What is used and set aside of a budget.
    async fn charged(&self, budget: &str) -> u64 {
        let budget = self.get(&format!("/api/v1/budgets/{budget}")).await;
        amount(budget["charged"].as_str().unwrap())
    }

    /// What a caller is told that a call has cost.
    async fn call(&self, key: &KeyId, fate: Fate, number: u64) -> Option<u64> {
        let place = usize::try_from(number % ROUTERS).unwrap();
        let tokens = number * 7 % (MOST_TOKENS + 1);
        let body = json!({
            "model": "hosted/gpt", "stream": fate.streams(), "max_tokens": MOST_TOKENS,
            "messages": [{"role": "user", "content": format!("{fate:?} {tokens}")}],
        });
        let by = Principal { key: key.clone(), egress: true, ..Principal::operator() };
        let path = "/v1/chat/completions";
        let response = ask(&self.routers[place], by, Method::POST, path, &body).await;
        let told = response.headers().get("x-diogenes-cost-usd").cloned();
        match (response.status().as_u16(), fate) {
            // The cap is used up, or will be by those that are under way.
            (402 | 429, _) => None,
            (200, Fate::Whole) => Some(amount(told?.to_str().unwrap())),
            // Behind many failures in a row the provider is left alone for a while.
            (500 | 502, Fate::Failure) | (503, _) => Some(0),
            (200, Fate::WholeStream | Fate::CutStream) => {
                let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
                let body = str::from_utf8(&body).unwrap();
                let costs = body.lines().filter_map(|line| line.strip_prefix(": diogenes "));
                let costs = costs.filter_map(|told| serde_json::from_str::<Value>(told).ok());
                let mut costs = costs.filter_map(|told| Some(amount(told["cost_usd"].as_str()?)));
                costs.next()
            }
            (200, Fate::HungUp) => {
                let first = response.into_body().into_data_stream().next().await;
                assert!(first.unwrap().unwrap().starts_with(b"data: "));
                None
            }
            (status, _) => {
                let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
                assert_eq!((status, fate), (200, Fate::Whole), "{}", body.escape_ascii());
                None
            }
        }
    }
}

async fn ask(to: &Router, by: Principal, method: Method, path: &str, body: &Value) -> Response {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .extension(Arc::new(by))
        .body(lambda_http::Body::from(body.to_string()))
        .unwrap();
    let answer: Result<_, Infallible> =
        diogenes_functions::http_events::answer(to.clone(), request).await;
    answer.unwrap()
}

/// The nano-dollars of an amount, with or without its sign.
fn amount(text: &str) -> u64 {
    let text = text.trim_start_matches('$');
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{rest:0<9}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_are_charged_what_they_cost() {
    let calls = std::env::var("DIOGENES_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let stack = Stack::new(&format!("calls-{}", std::process::id())).await;
    let cap = calls / 2 * CAP_OF_A_CALL;
    let (told, budget_of_told) = stack.key(cap).await;
    let (untold, budget_of_untold) = stack.key(cap).await;
    let over = AtomicBool::new(false);
    let work = async {
        let answers = (0..calls).map(|number| {
            let (key, fates) =
                if number % 2 == 0 { (&told, &Fate::TOLD[..]) } else { (&untold, &Fate::ALL[..]) };
            let fate = fates[usize::try_from(number / 2).unwrap() % fates.len()];
            let answer = stack.call(key, fate, number);
            async move { (number, answer.await) }
        });
        let answers = join_all(answers).await;
        over.store(true, Ordering::Relaxed);
        answers
    };
    let watch = async {
        let mut looks = 0;
        while !over.load(Ordering::Relaxed) {
            for budget in [&budget_of_told, &budget_of_untold] {
                let charged = stack.charged(budget).await;
                assert!(charged <= cap, "{charged} of {cap} are charged to {budget}");
                looks += 1;
            }
        }
        looks
    };
    let (answers, looks) = tokio::join!(work, watch);
    assert!(looks >= 2, "the budgets were looked at while the calls ran");

    let answered = answers.iter().filter_map(|(number, cost)| Some((*number, (*cost)?)));
    let answered: Vec<_> = answered.filter(|(number, _)| number % 2 == 0).collect();
    let refused = calls / 2 - answered.len() as u64;
    let enough = usize::try_from(calls / 20).unwrap();
    assert!(refused > 0 && answered.len() > enough, "{refused} of {} are refused", calls / 2);
    let sum = answered.iter().fold(0, |sum, (_, cost)| sum + cost);
    let began = Instant::now();
    loop {
        let ledgers =
            [stack.charged(&budget_of_told).await, stack.charged(&budget_of_untold).await];
        let report = stack.get("/api/v1/usage?by=key").await;
        let rows = report["data"].as_array().cloned().unwrap_or_default();
        let cost = |row: &Value| row["cost_usd"].as_str().map_or(0, amount);
        let is_reported = ledgers.map(|ledger| rows.iter().any(|row| cost(row) == ledger));
        let requests: u64 = rows.iter().filter_map(|row| row["requests"].as_u64()).sum();
        if is_reported == [true; 2] && ledgers[0] == sum && requests == calls {
            break;
        }
        let patience = Duration::from_secs(30);
        assert!(began.elapsed() < patience, "{ledgers:?}, answers {sum}, report {report}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
