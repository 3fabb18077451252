//! The store when DynamoDB does what it is asked and the answer gets lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_core::ports::{Bound, Expect, Key, StateStore, StoreError, Write};
use serde_json::{Value, json};

use super::{Table, client, clock, config, table_name};

const WRITERS: usize = 8;
const ROUNDS: usize = 12;

/// Loses every n-th answer.
#[derive(Debug)]
struct Loss {
    every: usize,
    answers: Arc<AtomicUsize>,
}

impl Intercept for Loss {
    fn name(&self) -> &'static str {
        "Loss"
    }

    fn read_before_deserialization(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        if answers.is_multiple_of(self.every) { Err("the answer got lost".into()) } else { Ok(()) }
    }
}

async fn lossy(every: usize) -> (Arc<DynamoStore>, Arc<AtomicUsize>, Table) {
    let table = Table(table_name());
    create_table(&client(), &table.0).await.unwrap();
    let answers = Arc::new(AtomicUsize::new(0));
    let loss = Loss { every, answers: Arc::clone(&answers) };
    let client = Client::from_conf(config().interceptor(loss).build());
    (Arc::new(DynamoStore::new(client, &*table.0, clock())), answers, table)
}

fn put(key: &Key, document: Value, expect: Expect) -> Write {
    Write::Put { key: key.clone(), document, index: None, expires_at: None, expect }
}

fn key(sort: &str) -> Key {
    Key::new("p", sort)
}

/// Puts `entry` at the end of the lists at `keys`, in one commit, and does not rest until it is
/// there. An entry that was written twice, or to some of the lists only, shows in the end.
async fn append(store: &DynamoStore, keys: &[Key], entry: &str) {
    loop {
        let mut writes = Vec::new();
        for key in keys {
            let standing = store.get(key).await.unwrap();
            let (mut list, expect) = match standing {
                None => (Vec::new(), Expect::Absent),
                Some(item) => {
                    (item.document.as_array().unwrap().clone(), Expect::Version(item.version))
                }
            };
            if list.iter().any(|there| there == entry) {
                return;
            }
            list.push(json!(entry));
            writes.push(put(key, list.into(), expect));
        }
        match store.commit(&writes).await {
            Ok(_) => return,
            // Unknown: the read above finds out.
            Err(StoreError::Conflict(_) | StoreError::Unknown { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn every_entry_is_there_once(keys: &[Key]) {
    let (store, answers, _table) = lossy(3).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, keys) = (Arc::clone(&store), keys.to_vec());
        writers.spawn(async move {
            for round in 0..ROUNDS {
                append(&store, &keys, &format!("{writer}-{round}")).await;
            }
        });
    }
    writers.join_all().await;
    assert!(answers.load(Ordering::Relaxed) > WRITERS * ROUNDS);
    for key in keys {
        let item = store.get(key).await.unwrap().unwrap();
        let mut entries = item.document.as_array().unwrap().clone();
        assert_eq!(entries.len(), WRITERS * ROUNDS, "{entries:?}");
        entries.sort_by_key(Value::to_string);
        entries.dedup();
        assert_eq!(entries.len(), WRITERS * ROUNDS, "{entries:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_writes_are_done_once() {
    every_entry_is_there_once(&[key("a")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_done_once() {
    every_entry_is_there_once(&[key("a"), key("b")]).await;
}

/// Nobody else is there, so the store finds out by itself what became of every put.
#[tokio::test]
async fn lone_writer_meets_no_conflict_with_itself() {
    let (store, _, _table) = lossy(2).await;
    for sort in ["a", "b", "c"] {
        let mut expect = Expect::Absent;
        for round in 0..5 {
            let versions = store.commit(&[put(&key(sort), json!(round), expect)]).await.unwrap();
            expect = Expect::Version(versions[0].clone().unwrap());
        }
        let both = [put(&key(sort), json!("x"), expect), put(&key("other"), json!(1), Expect::Any)];
        store.commit(&both).await.unwrap();
    }
}

/// A version that was deleted is gone after an unknown delete, and nothing else is.
#[tokio::test]
async fn delete_is_done_or_unknown() {
    let (store, _, _table) = lossy(2).await;
    let mut unknown = 0;
    for round in 0..6 {
        let at = key("a");
        let versions = store.commit(&[put(&at, json!(round), Expect::Absent)]).await.unwrap();
        let expect = Expect::Version(versions[0].clone().unwrap());
        match store.commit(&[Write::Delete { key: at.clone(), expect }]).await {
            Ok(_) => {}
            Err(StoreError::Unknown { .. }) => unknown += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(store.get(&at).await.unwrap(), None);
    }
    assert!(unknown > 0);
}

/// The caller of a counter learns that he does not know; nothing is added twice.
#[tokio::test]
async fn addition_with_a_lost_answer_is_unknown() {
    let (store, _, _table) = lossy(2).await;
    let mut unknown = 0;
    for _ in 0..10 {
        match store.add(&key("a"), 1, Bound::None, None).await {
            Ok(_) => {}
            Err(StoreError::Unknown { .. }) => unknown += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(unknown, 5);
    assert_eq!(store.add(&key("a"), 0, Bound::None, None).await.unwrap(), 10);
}
