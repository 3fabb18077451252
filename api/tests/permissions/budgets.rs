//! Budgets: who may set which, what is told of them, and what is refused.

use std::time::Duration;

use diogenes_core::gateway::budget::BudgetId;
use diogenes_core::ports::{Amount, Charge, Clock as _, ReservationId};
use diogenes_core::tenancy::{Allowed, Scope};
use http::StatusCode;
use serde_json::{Value, json};

use super::World;

impl World {
    /// Reserves so much of a budget, for ten minutes.
    async fn reserve(&self, request: &str, id: &str, amount: u64) -> ReservationId {
        let id: BudgetId = id.parse().unwrap();
        let budget = self.budgets.get(&Allowed::operator(), &id).await.unwrap();
        let now = self.clock.now();
        let charge = Charge {
            account: budget.account(now),
            cap: Some(budget.cap.amount()),
            amount: Amount::saturating(amount),
        };
        let reservation = ReservationId::new(request, 0);
        let end = now + Duration::from_mins(10);
        self.ledger.reserve(&reservation, &[charge], end, now).await.unwrap();
        reservation
    }

    async fn settle(&self, reservation: &ReservationId, used: u64) {
        let used = [Amount::saturating(used)];
        self.ledger.settle(reservation, &used, self.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn budget_is_told_with_what_is_used_and_reserved_of_it() {
    let world = World::new().await;
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    let (key, _) = world.key("team-a", &[Scope::Inference]).await;
    let id = format!("key/{key}/usd/day");
    let path = format!("/api/v1/budgets/{id}");
    let ask =
        async |method: &str, body: Value| world.answer(method, &path, Some(&admin), &body).await;
    let (status, body) = ask("PUT", json!({"cap": "$0.50"})).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let at = "2026-11-30T12:00:00Z";
    assert_eq!(
        body,
        json!({
            "id": id, "scope": "key", "scope_id": key, "project": "team-a", "unit": "usd",
            "period": "day", "cap": "$0.50", "charged": "$0.00", "left": "$0.50",
            "used_percent": 0, "resets_at": "2026-12-01T00:00:00Z", "created_at": at,
            "updated_at": at,
        })
    );
    let cents = 10_000_000;
    let settled = world.reserve("settled", &id, 20 * cents).await;
    world.settle(&settled, 5 * cents).await;
    let in_flight = world.reserve("in-flight", &id, 30 * cents).await;
    let used =
        |body: &Value| [&body["charged"], &body["left"], &body["used_percent"]].map(Value::clone);
    let (_, body) = ask("GET", Value::Null).await;
    assert_eq!(used(&body), [json!("$0.35"), json!("$0.15"), json!(70)]);
    world.settle(&in_flight, 10 * cents).await;
    // A lower cap counts from now on, and what was used stands against it.
    let (status, body) = ask("PUT", json!({"cap": "$0.10"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(used(&body), [json!("$0.15"), json!("$0.00"), json!(150)]);
    world.clock.advance(Duration::from_hours(12));
    let (_, body) = ask("GET", Value::Null).await;
    assert_eq!(used(&body), [json!("$0.00"), json!("$0.10"), json!(0)]);
    assert_eq!(body["resets_at"], "2026-12-02T00:00:00Z");
    let (status, body) = ask("DELETE", Value::Null).await;
    assert_eq!((status, &body["cap"]), (StatusCode::OK, &json!("$0.10")));
    let gone = (StatusCode::NOT_FOUND, json!("budget_not_found"));
    for method in ["GET", "DELETE"] {
        let (status, body) = ask(method, Value::Null).await;
        assert_eq!((status, body["error"]["code"].clone()), gone, "{method}");
    }
}

#[tokio::test]
async fn budgets_are_listed_to_those_whom_they_concern() {
    let world = World::new().await;
    let (key, reader) = world.key("team-a", &[Scope::Read]).await;
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    for (id, cap) in [
        ("route/assistant/usd/total", "$7"),
        (&format!("key/{key}/tokens/month"), "1500k"),
        ("project/team-a/usd/month", "$20"),
        ("project/team-b/usd/month", "$0.000000001"),
    ] {
        world.budget(id, cap).await;
    }
    let listed = async |key: &str, query: &str| {
        let path = format!("/api/v1/budgets{query}");
        let (status, page) = world.answer("GET", &path, Some(key), &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let caps: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|one| one["cap"].clone()).collect();
        (caps, page["next_cursor"].clone())
    };
    let all = vec!["$7.00", "1500k", "$20.00", "$0.000000001"];
    assert_eq!(listed(&admin, "").await, (all.into_iter().map(Into::into).collect(), Value::Null));
    let own = (vec![json!("1500k"), json!("$20.00")], Value::Null);
    assert_eq!(listed(&reader, "").await, own);
    assert_eq!(listed(&admin, "?project=team-a").await, own);
    let (first, cursor) = listed(&admin, "?limit=3").await;
    assert_eq!(first.len(), 3);
    let rest = format!("?limit=3&cursor={}", cursor.as_str().unwrap());
    assert_eq!(listed(&admin, &rest).await.0, [json!("$0.000000001")]);
}

#[tokio::test]
async fn only_who_may_act_in_every_project_sets_budgets_of_projects_and_routes() {
    let world = World::new().await;
    let (_, own) = world.key("team-a", &[Scope::ProjectAdmin]).await;
    let (other, _) = world.key("team-b", &[Scope::Inference]).await;
    for (id, wanted) in [
        ("project/team-a/usd/day", (403, "insufficient_scope")),
        ("project/team-b/usd/day", (404, "project_not_found")),
        ("project/absent/usd/day", (404, "project_not_found")),
        ("route/assistant/usd/day", (403, "insufficient_scope")),
        ("route/absent/usd/day", (403, "insufficient_scope")),
        (&format!("key/{other}/usd/day"), (404, "key_not_found")),
        ("key/absent/usd/day", (404, "key_not_found")),
    ] {
        let path = format!("/api/v1/budgets/{id}");
        for (method, body) in [("PUT", json!({"cap": "$1"})), ("DELETE", Value::Null)] {
            let (status, code) = world.ask(method, &path, Some(&own), &body).await;
            assert_eq!((status.as_u16(), code.as_str()), wanted, "{method} {id}");
        }
    }
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    for id in ["project/team-a/usd/day", "route/assistant/usd/day", "project/default/tokens/total"]
    {
        let cap = if id.contains("usd") { "$1" } else { "2M" };
        let path = format!("/api/v1/budgets/{id}");
        let (status, code) = world.ask("PUT", &path, Some(&admin), &json!({"cap": cap})).await;
        assert_eq!(status, StatusCode::CREATED, "{id}: {code}");
    }
}

#[tokio::test]
async fn budgets_that_cannot_be_are_refused() {
    let world = World::new().await;
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    let (key, _) = world.key("team-a", &[Scope::Inference]).await;
    let rotate = format!("/api/v1/keys/{key}/rotate");
    let (_, fresh) = world.answer("POST", &rotate, Some(&admin), &Value::Null).await;
    let [usd, tokens] = ["usd", "tokens"].map(|unit| format!("key/{key}/{unit}/day"));
    let replaced = format!("key/{}/usd/day", fresh["id"].as_str().unwrap());
    let archive = "/api/v1/projects/third/archive";
    assert_eq!(world.ask("POST", archive, Some(&admin), &Value::Null).await.0, StatusCode::OK);
    for (id, body, wanted, param, text) in [
        (&*usd, json!({"cap": "2M"}), (400, "invalid_request"), "cap", "as dollars, such as `$5`"),
        (
            &*tokens,
            json!({"cap": "$5"}),
            (400, "invalid_request"),
            "cap",
            "as tokens, such as `200",
        ),
        (&*usd, json!({"cap": "5 bucks"}), (400, "invalid_request"), "cap", "is not an amount"),
        (&*usd, json!({"cap": "$-5"}), (400, "invalid_request"), "cap", "not a number of dollars"),
        (&*usd, json!({"cap": 5}), (400, "invalid_request"), "cap", "expected a string"),
        (&*usd, json!({}), (400, "invalid_request"), "cap", "missing field"),
        (&*usd, json!({"cap": "$5", "per": 1}), (400, "unknown_field"), "per", "unknown field"),
        ("key/a/usd", json!({"cap": "$5"}), (400, "invalid_request"), "id", "key/ID/usd/month"),
        ("key/a/usd/week", json!({"cap": "$5"}), (400, "invalid_request"), "id", "use `day`"),
        ("project/A/usd/day", json!({"cap": "$5"}), (400, "invalid_request"), "id", "project id"),
        ("route/absent/usd/day", json!({"cap": "$5"}), (404, "model_not_found"), "id", "`absent`"),
        (&*replaced, json!({"cap": "$5"}), (409, "conflict"), "", "has replaced"),
        ("project/third/usd/day", json!({"cap": "$5"}), (409, "conflict"), "", "is archived"),
    ] {
        let path = format!("/api/v1/budgets/{id}");
        let (status, answer) = world.answer("PUT", &path, Some(&admin), &body).await;
        let error = &answer["error"];
        let code = error["code"].as_str().unwrap_or_default();
        assert_eq!((status.as_u16(), code), wanted, "{id} {body}: {answer}");
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{id} {body}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(text), "{id} {body}: {answer}");
    }
    for query in ["?project=absent", "?project=A", "?limit=0", "?cursor=x", "?of=x"] {
        let path = format!("/api/v1/budgets{query}");
        let (status, answer) = world.answer("GET", &path, Some(&admin), &Value::Null).await;
        assert!(status.is_client_error(), "{query}: {answer}");
    }
}
