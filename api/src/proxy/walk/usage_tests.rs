//! Requests that the book of usage counts.

use diogenes_core::gateway::Routes;
use diogenes_core::gateway::budget::{Budget, BudgetId, Budgets};
use diogenes_core::gateway::ledger::StoreLedger;
use diogenes_core::gateway::prices::{PriceBook, PriceList, PriceOrigin};
use diogenes_core::gateway::usage::{By, Counts, Filter, UsageBook, UsageReport, UsageRow, Usages};
use diogenes_core::ports::{Amount, Clock as _, Ledger as _, Limits};
use diogenes_core::testing::MemoryStore;
use http::StatusCode;
use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, chat, events, eventually, model, plain, request,
    text,
};
use crate::proxy::{Dialect, Purse};

const BODY: &str = r#"{"id":"x","usage":{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":3}}}"#;
const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";
const UNTOLD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n";
/// Of 10 and 4 tokens, at a dollar per million tokens of the prompt and two of the answer.
const COST: u64 = 10_000 + 8_000;

fn whole() -> Script {
    Script::Answer(plain("200 OK", "content-type: application/json\r\n", BODY))
}

struct Fixture {
    local: Local,
    book: Arc<UsageBook>,
    store: Arc<MemoryStore>,
    budgets: Budgets,
    ledger: Arc<StoreLedger>,
    _hosted: Upstream,
}

impl Fixture {
    /// A gateway with the provider `hosted`, which has a price for `gpt`, behind the route `chat`.
    async fn new(scripts: Vec<Script>) -> Self {
        let hosted = Upstream::start(scripts).await;
        let spec = json!({"kind": "openai", "base_url": format!("http://{}", hosted.address)});
        let provider = ("hosted".parse().unwrap(), serde_json::from_value(spec).unwrap(), None);
        let route = json!({"targets": [model(), "hosted/gpt"], "egress": true});
        let routes =
            Routes::from([("chat".parse().unwrap(), serde_json::from_value(route).unwrap())]);
        let store = Arc::new(MemoryStore::new(TokioClock::new()));
        let mut local = Local::with_providers(Local::spec(), &routes, [provider], store.clone());
        let price = json!({"input": "1", "output": "2"});
        let list = json!({"source": "test", "date": "2026-11-27", "providers": {
            "hosted": {"models": [{"match": ["gpt"], "price": price}]},
        }});
        let prices = PriceBook::embedded()
            .unwrap()
            .with(PriceOrigin::File, PriceList::parse(list.to_string().as_bytes()).unwrap());
        local.dispatcher.count_by(prices);
        let ledger = Arc::new(StoreLedger::new(store.clone()));
        let budgets = Budgets::new(store.clone(), local.clock.clone());
        let purse = Purse::new(
            budgets.clone(),
            ledger.clone(),
            local.dispatcher.clone(),
            local.clock.clone(),
        );
        let book = Arc::new(UsageBook::new("test"));
        let gateway = Arc::into_inner(local.gateway).unwrap();
        let gateway = gateway.with_purse(Arc::new(purse)).with_usage(book.clone());
        local.gateway = Arc::new(gateway);
        Self { local, book, store, budgets, ledger, _hosted: hosted }
    }

    async fn ask(&self, model: &str, stream: bool) -> Result<Answer, ApiError> {
        let body = json!({"model": model, "messages": [], "stream": stream, "max_tokens": 5});
        let request = request(Dialect::ChatCompletions, body.to_string());
        self.local.gateway.walk(caller(Limits::default()), request).await
    }

    /// Sets the budget of the project per day.
    async fn budget(&self, cap: &str) -> Budget {
        let BudgetId { scope, period, .. } = "project/default/usd/day".parse().unwrap();
        let cap = cap.parse().unwrap();
        self.budgets.set(&Allowed::operator(), scope, period, cap).await.unwrap().0
    }

    async fn report(&self, by: By) -> UsageReport {
        self.book.flush(&*self.store, self.local.clock.now()).await.unwrap();
        let usages = Usages::new(self.store.clone(), self.local.clock.clone());
        let filter = Filter { by, ..Filter::default() };
        usages.report(&Allowed::operator(), &filter).await.unwrap()
    }

    /// What one model has used, once so many requests have ended.
    async fn used(&self, model: &str, requests: u64) -> UsageRow {
        let row = eventually("the requests are counted", async || {
            let report = self.report(By::Model).await;
            let row = report.rows.into_iter().find(|row| row.name.as_deref() == Some(model))?;
            (row.counts.requests >= requests).then_some(row)
        })
        .await;
        assert_eq!(row.counts.requests, requests);
        row
    }
}

#[tokio::test]
async fn plain_answer_counts_once_with_what_it_cost() {
    let fixture = Fixture::new(vec![whole()]).await;
    for _ in 0..2 {
        fixture.ask("hosted/gpt", false).await.unwrap();
    }
    let row = fixture.used("hosted/gpt", 2).await;
    let expected = Counts {
        requests: 2,
        errors: 0,
        estimated: 0,
        prompt_tokens: 20,
        cached_tokens: 6,
        completion_tokens: 8,
        nano_dollars: Amount::saturating(2 * COST),
    };
    assert_eq!(row.counts, expected);
    assert_eq!(row.price_version.unwrap().as_str(), "test, 2026-11-27");
    let keys = fixture.report(By::Key).await;
    assert_eq!((keys.rows[0].name.as_deref(), keys.total), (Some("test"), expected));
    // What was not asked along a route has none.
    assert_eq!(fixture.report(By::Route).await.rows[0].name, None);
}

#[tokio::test]
async fn stream_counts_at_its_end_as_told_or_at_a_guess() {
    let fixture = Fixture::new(vec![whole()]).await;
    let own = [EVENTS, UNTOLD].map(|text| Script::Answer(events(text)));
    let own = Upstream::start(own.to_vec()).await;
    fixture.local.ready(&[("claim", own.address)]);
    for (number, estimated) in [(1, 0), (2, 1)] {
        let request = chat(true);
        let guess = request.body.len() as u64 / 4;
        let answer = fixture.local.gateway.walk(caller(Limits::default()), request).await.unwrap();
        assert!(fixture.report(By::Model).await.total.requests < number, "before its end");
        text(answer).await;
        let counts = fixture.used(model().as_str(), number).await.counts;
        let tokens = if estimated == 0 { (10, 4) } else { (10 + guess, 4 + 1) };
        assert_eq!((counts.prompt_tokens, counts.completion_tokens), tokens);
        assert_eq!((counts.estimated, counts.errors), (estimated, 0));
        assert_eq!(counts.nano_dollars, Amount::ZERO, "a model of the fleet has no price");
    }
}

#[tokio::test]
async fn abandoned_stream_counts_what_has_come_and_is_no_error() {
    let fixture = Fixture::new(vec![Script::Answer(events(EVENTS))]).await;
    let answer = fixture.ask("hosted/gpt", true).await.unwrap();
    drop(answer);
    let counts = fixture.used("hosted/gpt", 1).await.counts;
    assert_eq!((counts.errors, counts.estimated), (0, 1));
    assert!(counts.prompt_tokens > 0 && counts.nano_dollars > Amount::ZERO, "{counts:?}");
    // So does one that is left before its answer begins.
    let silent = Upstream::start(vec![Script::Hang]).await;
    fixture.local.ready(&[("claim", silent.address)]);
    let walk = fixture.local.gateway.walk(caller(Limits::default()), chat(false));
    tokio::time::timeout(std::time::Duration::from_millis(200), walk).await.unwrap_err();
    let counts = fixture.used(model().as_str(), 1).await.counts;
    assert_eq!(counts, Counts { requests: 1, ..Counts::default() });
}

#[tokio::test]
async fn request_left_before_its_answer_costs_what_was_set_aside_as_in_budgets() {
    let fixture = Fixture::new(vec![Script::Hang]).await;
    let budget = fixture.budget("$1").await;
    let body = json!({"model": "hosted/gpt", "messages": [], "stream": false, "max_tokens": 5});
    let most = Amount::saturating(body.to_string().len() as u64 * 1_000 + 5 * 2_000);
    let walk = fixture.ask("hosted/gpt", false);
    tokio::time::timeout(std::time::Duration::from_millis(200), walk).await.unwrap_err();
    let counts = fixture.used("hosted/gpt", 1).await.counts;
    let expected = Counts { requests: 1, estimated: 1, nano_dollars: most, ..Counts::default() };
    assert_eq!(counts, expected);
    let account = budget.account(fixture.local.clock.now());
    assert_eq!(fixture.ledger.charged(&account).await.unwrap(), most);
}

#[tokio::test]
async fn refused_request_counts_as_an_error_that_used_nothing() {
    let fixture = Fixture::new(vec![whole()]).await;
    fixture.budget("$0.000000001").await;
    let error = fixture.ask("hosted/gpt", false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RequestExceedsBudget);
    let counts = fixture.used("hosted/gpt", 1).await.counts;
    assert_eq!(counts, Counts { requests: 1, errors: 1, ..Counts::default() });
}

#[tokio::test]
async fn error_of_a_target_counts_as_an_error_that_used_nothing() {
    let error = r#"{"error":{"message":"no such parameter"}}"#;
    let error = plain("400 Bad Request", "content-type: application/json\r\n", error);
    let fixture = Fixture::new(vec![Script::Answer(error)]).await;
    let answer = fixture.ask("hosted/gpt", false).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let counts = fixture.used("hosted/gpt", 1).await.counts;
    assert_eq!(counts, Counts { requests: 1, errors: 1, ..Counts::default() });
}

#[tokio::test]
async fn tries_that_nobody_knows_the_use_of_cost_as_much_as_they_could() {
    let fixture = Fixture::new(vec![Script::Close]).await;
    let body = json!({"model": "hosted/gpt", "messages": [], "stream": false, "max_tokens": 5});
    fixture.ask("hosted/gpt", false).await.unwrap_err();
    let counts = fixture.used("hosted/gpt", 1).await.counts;
    let most = body.to_string().len() as u64 * 1_000 + 5 * 2_000;
    // Three tries of one request, as the ledger counts them.
    assert_eq!((counts.requests, counts.errors), (1, 1));
    assert_eq!(counts.nano_dollars.get(), 3 * most);
}

#[tokio::test]
async fn request_along_a_route_counts_for_the_model_that_answered() {
    let fixture = Fixture::new(vec![whole()]).await;
    let down = plain("500 Internal Server Error", "content-type: application/json\r\n", "{}");
    let own = Upstream::start(vec![Script::Answer(down)]).await;
    fixture.local.ready(&[("claim", own.address)]);
    fixture.ask("chat", false).await.unwrap();
    let row = fixture.used("hosted/gpt", 1).await;
    assert_eq!(row.counts.nano_dollars.get(), COST);
    let routes = fixture.report(By::Route).await;
    assert_eq!(routes.rows.len(), 1, "{routes:?}");
    assert_eq!(routes.rows[0].name.as_deref(), Some("chat"));
}
