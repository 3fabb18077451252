//! A thousand calls at once, of which some fail, some are cut, and some callers hang up: what is
//! charged never passes the cap, and in the end the ledger, the report and the answers agree.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

use std::sync::atomic::{AtomicBool, Ordering};

use diogenes_e2e::{
    Client, Config, Event, Model, SCRIPT_HEADER, Script, Serve, Step, eventually, wire,
};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

const CALLS: u64 = 1_000;
/// The most that one of them can use.
const MOST_TOKENS: u64 = 100;
/// Some two thirds of what those of a key come to.
const CAP: &str = "$0.03";
const TABLES: &str =
    "[rate_cards.demo]\nversion = \"1\"\nprice = { input = \"1\", output = \"2\" }\n";

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

    fn script(self, completion: u64) -> Script {
        let usage = format!(
            r#"{{"id":"1","choices":[],"usage":{{"prompt_tokens":40,"completion_tokens":{completion}}}}}"#
        );
        let event = |data: &str| wire::chunk(&format!("data: {data}\n\n"));
        let text = r#"{"id":"1","choices":[{"delta":{"content":"Hi"}}]}"#;
        let begun = wire::stream_head() + &event(text);
        match self {
            Self::Whole => Script::new().send(wire::json("200 OK", &usage)),
            Self::WholeStream => {
                Script::new().send(format!("{begun}{}{}0\r\n\r\n", event(&usage), event("[DONE]")))
            }
            Self::Failure => {
                let error = r#"{"error":{"message":"no","type":"x","param":null,"code":"x"}}"#;
                Script::new().send(wire::json("500 Internal Server Error", error))
            }
            Self::CutStream => Script::new().send(begun).close(),
            Self::HungUp => Script::new().send(begun).then(Step::Silence),
        }
    }

    fn streams(self) -> bool {
        matches!(self, Self::WholeStream | Self::CutStream | Self::HungUp)
    }
}

fn request(client: &Client, fate: Fate, number: u64) -> RequestBuilder {
    let body = json!({
        "model": "demo",
        "stream": fate.streams(),
        "max_tokens": MOST_TOKENS,
        "messages": [{"role": "user", "content": format!("call {number}")}],
    });
    let script = fate.script(number * 7 % (MOST_TOKENS + 1));
    let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
    request.header(SCRIPT_HEADER, script.encode())
}

/// What a caller is told that a call has cost.
async fn call(client: &Client, fate: Fate, number: u64) -> Option<u64> {
    let request = request(client, fate, number);
    if !fate.streams() {
        let answer = client.send(request).await;
        return match (answer.status.as_u16(), fate) {
            // The cap is used up, or will be by those that are under way.
            (402 | 429, _) => None,
            (200, Fate::Whole) => answer.header("x-diogenes-cost-usd").map(amount),
            (500 | 502, Fate::Failure) => Some(0),
            _ => panic!("{fate:?}: {} {}", answer.status, answer.text()),
        };
    }
    let mut stream = client.stream_of(request).await;
    if [402, 429].contains(&stream.status.as_u16()) {
        return None;
    }
    assert_eq!(stream.status, 200, "{fate:?}");
    if fate == Fate::HungUp {
        assert!(matches!(stream.next().await, Some(Event::Data(_))));
        return None;
    }
    let events = stream.all().await;
    let told = events.iter().find_map(|event| match event {
        Event::Comment(text) => text.split_once('{').map(|(_, rest)| format!("{{{rest}")),
        _ => None,
    });
    let told: Value = serde_json::from_str(&told?).unwrap();
    Some(amount(told["cost_usd"].as_str()?))
}

/// The nano-dollars of an amount, with or without its sign.
fn amount(text: &str) -> u64 {
    let (whole, rest) = text.trim_start_matches('$').split_once('.').unwrap_or((text, ""));
    format!("{whole}{rest:0<9}").parse().unwrap()
}

/// What is charged to a budget.
async fn charged(admin: &Client, id: &str) -> u64 {
    let budget = admin.get(&format!("/api/v1/budgets/{id}")).await.json();
    amount(budget["charged"].as_str().unwrap_or_else(|| panic!("{budget}")))
}

/// A key with a cap, and the id of its budget.
async fn key(serve: &Serve, cap: &str) -> (Client, String) {
    let admin = serve.client();
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let budget = format!("key/{id}/usd/total");
    let set = admin.put(&format!("/api/v1/budgets/{budget}"), &json!({"cap": cap})).await;
    assert!(set.status.is_success(), "{}", set.text());
    (serve.client_with(&key), budget)
}

async fn serve(folder: &TempDir) -> Serve {
    std::fs::write(folder.path().join("demo"), "").unwrap();
    let model = Model::scripted_by_requests("demo", folder.path())
        .line("target_concurrency = 1000")
        .line("max_replicas = 1");
    let serve = Serve::start(Config::with([model]).tables(TABLES)).await;
    serve.client().scale("demo", "up").await;
    serve.client().until("demo", "ready").await;
    serve
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_at_once_are_charged_what_they_cost() {
    let folder = TempDir::with_prefix("diogenes-thousand-").unwrap();
    let serve = serve(&folder).await;
    let admin = serve.client();
    let (told, budget_of_told) = key(&serve, CAP).await;
    let (untold, budget_of_untold) = key(&serve, CAP).await;
    let calls = (0..CALLS).map(|number| {
        let (client, fates) =
            if number % 2 == 0 { (&told, &Fate::TOLD[..]) } else { (&untold, &Fate::ALL[..]) };
        let fate = fates[usize::try_from(number / 2).unwrap() % fates.len()];
        async move { (number, call(client, fate, number).await) }
    });
    let (over, cap) = (AtomicBool::new(false), amount(CAP));
    let watch = async {
        let mut looks = 0;
        while !over.load(Ordering::Relaxed) {
            for budget in [&budget_of_told, &budget_of_untold] {
                let charged = charged(&admin, budget).await;
                assert!(charged <= cap, "{charged:?} of {cap:?} are charged to {budget}");
                looks += 1;
            }
        }
        looks
    };
    let work = async {
        let answers = join_all(calls).await;
        over.store(true, Ordering::Relaxed);
        answers
    };
    let (answers, looks) = tokio::join!(work, watch);
    assert!(looks >= 2, "the budgets were looked at while the calls ran");

    let answered = answers.iter().filter_map(|(number, cost)| Some((*number, (*cost)?)));
    let answered: Vec<_> = answered.filter(|(number, _)| number % 2 == 0).collect();
    let refused = CALLS / 2 - answered.len() as u64;
    assert!(refused > 0 && answered.len() > 50, "{refused} of {} calls are refused", CALLS / 2);
    let sum = answered.iter().fold(0, |sum, (_, cost)| sum + cost);
    eventually("the ledger, the report and the answers agree", async || {
        let ledgers =
            [charged(&admin, &budget_of_told).await, charged(&admin, &budget_of_untold).await];
        let report = admin.get("/api/v1/usage?by=key").await.json();
        let rows = report["data"].as_array().cloned().unwrap_or_default();
        let reported = ledgers.map(|ledger: u64| rows.iter().any(|row| cost_of(row) == ledger));
        let requests: u64 = rows.iter().filter_map(|row| row["requests"].as_u64()).sum();
        if reported == [true; 2] && ledgers[0] == sum && requests == CALLS {
            Ok(())
        } else {
            Err(format!("{ledgers:?}, answers {sum}, report {report}"))
        }
    })
    .await;
}

fn cost_of(row: &Value) -> u64 {
    row["cost_usd"].as_str().map_or(0, amount)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_serve_had_set_aside_still_counts() {
    let folder = TempDir::with_prefix("diogenes-thousand-").unwrap();
    let serve = serve(&folder).await;
    let (client, budget) = key(&serve, "$0.005").await;
    // They are under way when it is killed.
    let calls = (0..60).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut stream = client.stream_of(request(&client, Fate::HungUp, number)).await;
            let first = stream.next().await;
            (stream.status, first, stream)
        })
    });
    let begun: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let admitted = begun.iter().filter(|(status, ..)| *status == 200).count();
    assert!((5..60).contains(&admitted), "{admitted} calls fit");
    let before = charged(&serve.client(), &budget).await;
    let serve = serve.crash_and_restart().await;
    drop(begun);
    let after = charged(&serve.client(), &budget).await;
    // What was taken out of the ledger in advance counts as well.
    assert!(before <= after && after <= amount("$0.005"), "{before}, {after}");
    let client = client.at(serve.base_url());
    assert_eq!(call(&client, Fate::Whole, 1).await, None, "nothing more fits");
}
