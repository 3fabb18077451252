//! Requests that budgets count, and what they cost.

use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{Control, FailureKind};
use diogenes_core::gateway::Routes;
use diogenes_core::gateway::budget::{Budgets, Period, Spending, WakeUp};
use diogenes_core::gateway::ledger::StoreLedger;
use diogenes_core::gateway::prices::{PriceBook, PriceList, PriceOrigin};
use diogenes_core::ports::{Account, Amount, Clock as _, Ledger as _, Limits, Unit};
use diogenes_core::tenancy::ProjectId;
use diogenes_core::testing::MemoryStore;
use futures_util::future::join_all;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::error::ErrorKind;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, events, eventually, model, plain, request, text,
};
use crate::proxy::{Dialect, Purse};

const BODY: &str = r#"{"id":"x","usage":{"prompt_tokens":10,"completion_tokens":4}}"#;
/// Of the usage above, at a dollar per million tokens of the prompt and two of the answer.
const COST: u64 = 10_000 + 8_000;
const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";

fn whole() -> Script {
    Script::Answer(plain("200 OK", "content-type: application/json\r\n", BODY))
}

pub(super) struct Fixture {
    pub(super) local: Local,
    pub(super) hosted: Upstream,
    ledger: Arc<StoreLedger>,
    budgets: Budgets,
}

impl Fixture {
    /// A gateway with the provider `hosted`, which has a price for `gpt`, and the project's budget
    /// of a day, if there is one.
    pub(super) async fn new(scripts: Vec<Script>, cap: Option<&str>) -> Self {
        let hosted = Upstream::start(scripts).await;
        let spec = json!({"kind": "openai", "base_url": format!("http://{}", hosted.address)});
        let provider = ("hosted".parse().unwrap(), serde_json::from_value(spec).unwrap(), None);
        let store = Arc::new(MemoryStore::new(TokioClock::new()));
        let route = json!({"strategy": "cost", "egress": true, "targets": [
            "hosted/unpriced", "hosted/gpt", model(),
        ]});
        let warming = |second: &str| json!({"egress": true, "while_cold_budget": "$0.00009", "targets": [model(), second]});
        let routes = [
            ("thrifty", route),
            ("warming", warming("hosted/gpt")),
            ("warming-unpriced", warming("hosted/unpriced")),
        ];
        let routes =
            Routes::from(routes.map(|(name, route)| {
                (name.parse().unwrap(), serde_json::from_value(route).unwrap())
            }));
        let mut local = Local::with_providers(Local::spec(), &routes, [provider], store.clone());
        let price = json!({"input": "1", "output": "2"});
        let list = json!({"source": "test", "date": "2026-11-27", "providers": {
            "hosted": {"models": [{"match": ["gpt"], "price": price}]},
        }});
        let prices = PriceBook::embedded()
            .unwrap()
            .with(PriceOrigin::File, PriceList::parse(list.to_string().as_bytes()).unwrap());
        local.dispatcher.count_by(prices);
        local.rate_card(&*store, "carded", json!({"version": "1", "price": price})).await;
        let ledger = Arc::new(StoreLedger::new(store.clone()));
        let budgets = Budgets::new(store, local.clock.clone());
        let (dispatcher, clock) = (local.dispatcher.clone(), local.clock.clone());
        let purse = Purse::new(budgets.clone(), ledger.clone(), dispatcher, clock);
        let gateway = Arc::into_inner(local.gateway).unwrap().with_purse(Arc::new(purse));
        local.gateway = Arc::new(gateway);
        let fixture = Self { local, hosted, ledger, budgets };
        if let Some(cap) = cap {
            fixture.set(cap).await;
        }
        fixture
    }

    async fn set(&self, cap: &str) {
        let scope = "project/default/usd/day".parse::<diogenes_core::gateway::budget::BudgetId>();
        let by = Allowed::operator();
        self.budgets
            .set(&by, scope.unwrap().scope, Period::Day, cap.parse().unwrap())
            .await
            .unwrap();
    }

    async fn ask(&self, model: &str, fields: Value) -> Result<Answer, ApiError> {
        self.ask_in(Dialect::ChatCompletions, model, fields).await
    }

    async fn ask_in(
        &self,
        dialect: Dialect,
        model: &str,
        fields: Value,
    ) -> Result<Answer, ApiError> {
        let mut body = json!({"model": model, "messages": []});
        for (field, value) in fields.as_object().unwrap() {
            body[field] = value.clone();
        }
        let request = request(dialect, body.to_string());
        self.local.gateway.walk(caller(Limits::default()), request).await
    }

    /// What stands in the account of the project, reservations included.
    pub(super) async fn charged(&self, unit: Unit) -> u64 {
        let ends_at = Period::Day.ends_at(self.local.clock.now());
        let name = format!("project#{}#day", ProjectId::default());
        let account = Account { name, unit, ends_at };
        self.ledger.charged(&account).await.unwrap().get()
    }

    /// What the other target of `warming` has cost while the model starts.
    async fn of_wake_up(&self, ready_at: Option<Timestamp>) -> u64 {
        let view = self.local.dispatcher.get(model().as_str()).unwrap().view();
        let control = Control { ready_at, ..view.control.clone() };
        let (route, now) = ("warming".parse().unwrap(), self.local.clock.now());
        let wake_up = WakeUp::of((&route, Amount::ZERO), &view.model, &control, now);
        let bound = Spending { tokens: Amount::ZERO, nano_dollars: Some(Amount::ZERO) };
        let account = wake_up.charge(&bound).unwrap().account;
        self.ledger.charged(&account).await.unwrap().get()
    }

    async fn settled_at(&self, expected: u64) {
        eventually("it is settled", async || {
            (self.charged(Unit::NanoDollars).await == expected).then_some(())
        })
        .await;
    }
}

fn cost(answer: &Answer) -> &str {
    answer.headers["x-diogenes-cost-usd"].to_str().unwrap()
}

#[tokio::test]
async fn an_answer_tells_what_it_cost_and_the_ledger_has_the_same() {
    let fixture = Fixture::new(vec![whole()], Some("$1")).await;
    for times in 1..3 {
        // The caller chooses this id, and pays each time all the same.
        let mut asked = request(
            Dialect::ChatCompletions,
            r#"{"model":"hosted/gpt","messages":[],"max_tokens":5}"#,
        );
        asked.id = HeaderValue::from_static("the-same");
        let answer = fixture.local.gateway.walk(caller(Limits::default()), asked).await.unwrap();
        assert_eq!((answer.status, cost(&answer)), (StatusCode::OK, "0.000018000"));
        fixture.settled_at(COST * times).await;
    }
}

#[tokio::test]
async fn a_stream_tells_first_what_is_set_aside_and_last_what_it_cost() {
    let fixture = Fixture::new(vec![Script::Answer(events(EVENTS))], Some("$1")).await;
    let answer = fixture.ask("hosted/gpt", json!({"stream": true, "max_tokens": 5})).await.unwrap();
    // Sixty bytes and five tokens at most.
    assert!(cost(&answer).starts_with("0.0000"), "{}", cost(&answer));
    let text = text(answer).await;
    // The usage was not the caller's wish.
    let (shown, _) = EVENTS.split_once("data: {\"choices\":[],").unwrap();
    let told = ": diogenes {\"cost_usd\":\"0.000018000\"}\n\n";
    assert_eq!(text, format!("{shown}data: [DONE]\n\n{told}"));
    fixture.settled_at(COST).await;
}

#[tokio::test]
async fn a_budget_that_is_used_up_refuses_and_says_until_when() {
    let fixture = Fixture::new(vec![whole()], Some("$0.0002")).await;
    let ask = async || fixture.ask("hosted/gpt", json!({"max_tokens": 40})).await;
    for times in 1.. {
        let Err(error) = ask().await else {
            fixture.settled_at(COST * times).await;
            continue;
        };
        assert_eq!(error.kind, ErrorKind::BudgetExceeded);
        let field = |name: &str| {
            error
                .headers
                .iter()
                .find(|(field, _)| field.as_str() == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(field("x-should-retry"), Some("false"));
        assert_eq!(field("x-diogenes-budget"), Some("project/default/usd/day"));
        assert!(field("x-diogenes-budget-resets-at").is_some());
        break;
    }
    let spent = fixture.charged(Unit::NanoDollars).await;
    assert!(spent > 0 && spent <= 200_000 && spent.is_multiple_of(COST), "{spent}");
    // What could never fit is told apart.
    let error = fixture.ask("hosted/gpt", json!({"max_tokens": 100_000})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RequestExceedsBudget);
    // An own model without a rate card costs no money.
    let own = Upstream::start(vec![whole()]).await;
    fixture.local.ready(&[("claim", own.address)]);
    let answer = fixture.ask(model().as_str(), json!({"max_tokens": 40})).await.unwrap();
    assert!(answer.headers.get("x-diogenes-cost-usd").is_none());
    assert_eq!(fixture.charged(Unit::NanoDollars).await, spent);
}

#[tokio::test]
async fn many_at_once_never_exceed_the_cap() {
    let fixture = Fixture::new(vec![whole()], Some("$0.001")).await;
    let asked = (0..60).map(|_| fixture.ask("hosted/gpt", json!({"max_tokens": 100})));
    let answers = join_all(asked).await;
    let served = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert!(served > 0 && answers.iter().any(Result::is_err), "{served}");
    fixture.settled_at(COST * served).await;
}

#[tokio::test]
async fn what_fails_costs_nothing_and_what_nobody_knows_counts_in_full() {
    let down = "{\"error\":{\"message\":\"it is down\"}}";
    let down = || {
        Script::Answer(plain(
            "500 Internal Server Error",
            "content-type: application/json\r\n",
            down,
        ))
    };
    let fixture = Fixture::new(vec![down(), whole()], Some("$1")).await;
    fixture.ask("hosted/gpt", json!({"max_tokens": 5})).await.unwrap();
    fixture.settled_at(COST).await;

    let fixture = Fixture::new(vec![Script::Close], Some("$1")).await;
    let body = json!({"model": "hosted/gpt", "messages": [], "max_tokens": 5}).to_string();
    fixture.ask("hosted/gpt", json!({"max_tokens": 5})).await.unwrap_err();
    // Three tries.
    fixture.settled_at(3 * (body.len() as u64 * 1_000 + 5 * 2_000)).await;
}

#[tokio::test]
async fn a_request_without_a_limit_gets_one_where_a_budget_counts_it() {
    let fixture = Fixture::new(vec![whole()], Some("$1")).await;
    fixture.ask("hosted/gpt", json!({})).await.unwrap();
    assert!(fixture.hosted.seen()[0].contains(r#"{"max_completion_tokens":8192,"#));
    let fixture = Fixture::new(vec![whole()], None).await;
    fixture.ask("hosted/gpt", json!({})).await.unwrap();
    assert!(!fixture.hosted.seen()[0].contains("max_completion_tokens"));
}

#[tokio::test]
async fn what_cannot_be_counted_beforehand_is_refused_under_a_budget() {
    let image = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
    ]}]);
    let fixture = Fixture::new(vec![whole()], Some("$1")).await;
    let error = fixture.ask("hosted/gpt", json!({"messages": image})).await.unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages[0].content[0]"));
    let error = fixture.ask("hosted/unpriced", json!({"max_tokens": 5})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelUnpriced);
    assert!(fixture.hosted.seen().is_empty());
    // What costs nothing needs no bound.
    let own = Upstream::start(vec![whole()]).await;
    fixture.local.ready(&[("claim", own.address)]);
    fixture.ask(model().as_str(), json!({"messages": image})).await.unwrap();
    // Without a budget both pass.
    let fixture = Fixture::new(vec![whole()], None).await;
    fixture.ask("hosted/gpt", json!({"messages": image})).await.unwrap();
    fixture.ask("hosted/unpriced", json!({})).await.unwrap();
}

#[tokio::test]
async fn a_model_of_the_fleet_is_charged_by_its_rate_card() {
    let fixture = Fixture::new(vec![whole()], Some("$1")).await;
    let own = Upstream::start(vec![whole()]).await;
    fixture.local.publish_as("carded".parse().unwrap(), &[("claim", own.address)], |_| {});
    let answer = fixture.ask("carded", json!({"max_tokens": 5})).await.unwrap();
    assert_eq!(cost(&answer), "0.000018000");
    fixture.settled_at(COST).await;
}

#[tokio::test]
async fn the_cheapest_target_is_asked_first() {
    let fixture = Fixture::new(vec![whole()], None).await;
    let first = async || {
        let answer = fixture.ask("thrifty", json!({})).await.unwrap();
        answer.headers["x-diogenes-model"].to_str().unwrap().to_owned()
    };
    // The own model would be free, but sleeps; what has no price comes last.
    assert_eq!(first().await, "hosted/gpt");
    let own = Upstream::start(vec![whole()]).await;
    fixture.local.ready(&[("claim", own.address)]);
    assert_eq!(first().await, model().as_str());
}

/// A request that waits for its model to start.
async fn waits(fixture: &Arc<Fixture>, route: &'static str, fields: Value) -> JoinHandle<Answer> {
    let asks = fixture.clone();
    let asked = tokio::spawn(async move { asks.ask(route, fields).await.unwrap() });
    let is_held = async || (fixture.local.demand().await.held == 1).then_some(());
    eventually("it waits for the model", is_held).await;
    asked
}

#[tokio::test]
async fn a_wake_up_costs_no_more_than_its_route_allows() {
    let fixture = Arc::new(Fixture::new(vec![whole()], None).await);
    let short = || json!({"max_tokens": 5});
    for _ in 0..2 {
        let answer = fixture.ask("warming", short()).await.unwrap();
        assert_eq!(answer.headers["x-diogenes-route"], "warming; position=2; reason=cold");
        assert_eq!(cost(&answer), "0.000018000");
        let charged = async || {
            let seen = fixture.hosted.seen().len() as u64;
            (fixture.of_wake_up(None).await == COST * seen).then_some(())
        };
        eventually("it is settled", charged).await;
    }
    // What is left does not suffice for another.
    let asked = waits(&fixture, "warming", short()).await;
    assert!(fixture.local.wake.count() > 0);
    let own = Upstream::start(vec![whole()]).await;
    fixture.local.ready(&[("claim-0", own.address)]);
    assert_eq!(asked.await.unwrap().headers["x-diogenes-route"], "warming; position=1");
    assert_eq!(fixture.hosted.seen().len(), 2);

    // The next wake-up has a budget of its own.
    let ready_at = fixture.local.clock.now();
    fixture.local.publish(&[], |control| control.ready_at = Some(ready_at));
    let answer = fixture.ask("warming", short()).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-route"], "warming; position=2; reason=cold");
}

#[tokio::test]
async fn a_failed_start_is_paid_for_out_of_the_same_budget() {
    let fixture = Fixture::new(vec![whole()], None).await;
    let failure = fixture.local.failed_start(FailureKind::Exited, Duration::from_mins(1));
    fixture.local.publish(&[], |control| control.failure = Some(failure));
    let mut answered = 0;
    let error = loop {
        match fixture.ask("warming", json!({"max_tokens": 5})).await {
            Ok(answer) => {
                let route = &answer.headers["x-diogenes-route"];
                assert_eq!(route, "warming; position=2; reason=unavailable");
                answered += 1;
                let charged =
                    async || (fixture.of_wake_up(None).await == COST * answered).then_some(());
                eventually("it is settled", charged).await;
            }
            Err(error) => break error,
        }
        assert!(answered < 10, "nothing limits it");
    };
    assert_eq!((error.kind, answered), (ErrorKind::ModelFailed(FailureKind::Exited), 2));
}

#[tokio::test]
async fn what_cannot_be_priced_waits_for_the_model_under_a_budget() {
    let image = json!([{"type": "image_url", "image_url": {"url": "https://x.test/y.png"}}]);
    let messages = json!({"messages": [{"role": "user", "content": image}], "max_tokens": 5});
    for (route, fields) in [
        ("warming-unpriced", json!({"max_tokens": 5})),
        ("warming", messages),
        ("warming", json!({})),
    ] {
        let fixture = Arc::new(Fixture::new(vec![whole()], None).await);
        let asked = waits(&fixture, route, fields).await;
        let own = Upstream::start(vec![whole()]).await;
        fixture.local.ready(&[("claim-0", own.address)]);
        assert_eq!(asked.await.unwrap().status, StatusCode::OK, "{route}");
        assert!(fixture.hosted.seen().is_empty(), "{route}");
    }
}
