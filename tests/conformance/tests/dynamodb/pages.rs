//! Listings that DynamoDB answers in several parts.

use std::time::Duration;

use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_core::ports::{Clock as _, Direction, Expect, Key, Query, StateStore, Table, Write};
use serde_json::json;

use super::{client, clock, table_name};

async fn sorts(store: &DynamoStore, query: &Query) -> (Vec<String>, usize) {
    let (mut query, mut seen, mut pages) = (query.clone(), Vec::new(), 0);
    loop {
        let page = store.list(&query).await.unwrap();
        pages += 1;
        assert!(page.items.len() <= query.limit);
        seen.extend(page.items.into_iter().map(|item| item.key.sort));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return (seen, pages),
        }
    }
}

/// One answer has 1 MB at most and one page a few, so this takes several of both.
#[tokio::test]
async fn large_documents_are_all_listed() {
    let table = super::Table(table_name());
    create_table(&client(), &table.0).await.unwrap();
    let store = DynamoStore::new(client(), &*table.0, clock());
    let text = "x".repeat(200_000);
    let mut expected: Vec<_> = (0..30).map(|number| format!("{number:02}")).collect();
    for sort in &expected {
        let put = Write::Put {
            key: Key::new("p", sort),
            document: json!(text),
            index: None,
            expires_at: None,
            expect: Expect::Absent,
        };
        store.commit(&[put]).await.unwrap();
    }
    let mut query = Query::new(Table::Main, "p", "");
    for direction in [Direction::Ascending, Direction::Descending] {
        for limit in [1000, 7] {
            query.limit = limit;
            query.direction = direction;
            let (seen, pages) = sorts(&store, &query).await;
            assert_eq!(seen, expected, "{direction:?}, {limit}");
            assert!(pages > 1);
        }
        expected.reverse();
    }
}

/// Items that DynamoDB has not deleted yet make pages short, not endless.
#[tokio::test]
async fn page_of_expired_items_goes_on() {
    let table = super::Table(table_name());
    create_table(&client(), &table.0).await.unwrap();
    let clock = clock();
    let store = DynamoStore::new(client(), &*table.0, clock.clone());
    let end = clock.now() + Duration::from_secs(1);
    for hundred in 0..12 {
        let writes: Vec<_> = (0..100)
            .map(|number| Write::Put {
                key: Key::new("p", format!("{:04}", hundred * 100 + number)),
                document: json!(number),
                index: None,
                expires_at: (hundred < 11).then_some(end),
                expect: Expect::Any,
            })
            .collect();
        store.commit(&writes).await.unwrap();
    }
    clock.set(end);
    let mut query = Query::new(Table::Main, "p", "");
    query.limit = 1;
    let first = store.list(&query).await.unwrap();
    assert!(first.items.is_empty() && first.next.is_some(), "{first:?}");
    let (seen, _) = sorts(&store, &query).await;
    assert_eq!(seen, (1100..1200).map(|number| format!("{number:04}")).collect::<Vec<_>>());
}
