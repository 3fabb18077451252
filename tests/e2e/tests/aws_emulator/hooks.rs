//! Calls that stop where a test wants to kill their caller.

use diogenes_e2e::aws::front::{Outcome, Then};

use crate::dynamodb::{put_new, table, text};
use crate::front;

#[tokio::test]
async fn a_caller_killed_before_its_call_has_done_nothing() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "orchestrator").await;
    let gate = front.rule().by("orchestrator").on_key("SLOT#").nth(1).hold_before();
    let caller = tokio::spawn({
        let (client, table) = (client.clone(), table.clone());
        async move { put_new(&client, &table, "SLOT#0").await }
    });
    let held = gate.reached().await;
    assert_eq!(held.call().resource.leading_keys, ["SLOT#0"]);
    caller.abort();
    held.drop_connection();
    front
        .until("the end of the held call", |calls| {
            calls.that(|call| call.outcome == Outcome::Refused).count() == 1
        })
        .await;
    put_new(&client, &table, "SLOT#0").await.unwrap();
}

#[tokio::test]
async fn a_caller_killed_after_its_call_has_done_it() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "orchestrator").await;
    let gate = front.rule().on_key("SLOT#").nth(1).hold_after();
    let caller = tokio::spawn({
        let (client, table) = (client.clone(), table.clone());
        async move { put_new(&client, &table, "SLOT#0").await }
    });
    let held = gate.reached().await;
    assert_eq!(held.call().outcome, Outcome::Answered { status: 200, code: None });
    caller.abort();
    held.drop_connection();
    let again = put_new(&client, &table, "SLOT#0").await.unwrap_err();
    assert_eq!(again, "ConditionalCheckFailedException");
}

#[tokio::test]
async fn a_call_goes_on_when_its_caller_is_gone() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "orchestrator").await;
    let gate = front.rule().on_key("SLOT#").nth(1).hold_before();
    let caller = tokio::spawn({
        let (client, table) = (client.clone(), table.clone());
        async move { put_new(&client, &table, "SLOT#0").await }
    });
    let held = gate.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    held.proceed();
    front
        .until("the write of the killed caller", |calls| {
            let written = Outcome::Answered { status: 200, code: None };
            calls.on_key("SLOT#").that(|call| call.outcome == written).count() == 1
        })
        .await;
}

#[tokio::test]
async fn a_closure_runs_between_the_call_and_its_answer() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    let other = front.dynamodb("other");
    let of = table.clone();
    // Another process takes the item between the read and the write of this one.
    front.rule().by("router").action("GetItem").nth(1).after(move |_| {
        let (other, of) = (other.clone(), of.clone());
        async move {
            put_new(&other, &of, "SLOT#0").await.unwrap();
            Then::Proceed
        }
    });
    let get = client.get_item().table_name(&table).key("pk", text("SLOT#0")).key("sk", text("x"));
    assert!(get.send().await.unwrap().item().is_none());
    let late = put_new(&client, &table, "SLOT#0").await.unwrap_err();
    assert_eq!(late, "ConditionalCheckFailedException");
}
