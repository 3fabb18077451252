//! What no emulator shows: answers that get lost, throttling, refusals. The time is paused, so
//! that pauses between attempts take none.

mod additions;
mod answers;
mod calls;
mod repeats;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, TransactionCanceledException,
};
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock_client};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use diogenes_core::ports::{Expect, Key, Version, Write};
use diogenes_core::testing::ManualClock;
use serde_json::json;

use super::DynamoStore;
use super::item::Attributes;

fn store(rules: &[&Rule]) -> DynamoStore {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules);
    DynamoStore::new(client, "state", Arc::new(ManualClock::default()))
}

fn key() -> Key {
    Key::new("KEY#1", "KEY")
}

fn put(key: Key, expect: Expect) -> Write {
    Write::Put { key, document: json!(1), index: None, expires_at: None, expect }
}

fn version() -> Expect {
    Expect::Version(Version::new("old"))
}

/// An item as the store writes it.
fn item(version: &str) -> Attributes {
    let text = |text: &str| AttributeValue::S(text.into());
    HashMap::from([
        ("pk".into(), text("KEY#1")),
        ("sk".into(), text("KEY")),
        ("version".into(), text(version)),
        ("document".into(), text("1")),
    ])
}

/// DynamoDB's error with this code.
fn error<O, E>(status: u16, code: &str, message: &str) -> MockResponse<O, E> {
    let code = format!("com.amazonaws.dynamodb.v20120810#{code}");
    let body = json!({"__type": code, "message": message}).to_string();
    MockResponse::Http(HttpResponse::new(
        StatusCode::try_from(status).unwrap(),
        SdkBody::from(body),
    ))
}

/// What comes when the answer got lost: no sentence of DynamoDB.
fn lost<O, E>() -> MockResponse<O, E> {
    error(500, "InternalServerError", "something broke")
}

fn condition_failed(item: Option<Attributes>) -> MockResponse<PutItemOutput, PutItemError> {
    let failed = ConditionalCheckFailedException::builder().set_item(item).build();
    MockResponse::Error(PutItemError::ConditionalCheckFailedException(failed))
}

type Transacted = MockResponse<TransactWriteItemsOutput, TransactWriteItemsError>;

fn cancelled<const N: usize>(reasons: [(&str, Option<Attributes>); N]) -> Transacted {
    let reasons =
        reasons.map(|(code, item)| CancellationReason::builder().code(code).set_item(item).build());
    let cancelled = TransactionCanceledException::builder()
        .set_cancellation_reasons(Some(reasons.into()))
        .build();
    MockResponse::Error(TransactWriteItemsError::TransactionCanceledException(cancelled))
}

/// Counts the calls of a rule from zero.
fn counter() -> impl Fn() -> usize + Send + Sync {
    let calls = AtomicUsize::new(0);
    move || calls.fetch_add(1, Ordering::Relaxed)
}
