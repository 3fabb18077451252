//! Names and definitions in the DynamoDB store.

use diogenes_conformance::names::Fixture;

async fn dynamodb() -> Fixture {
    let (store, clock, table) = super::store().await;
    Fixture::new(store, clock).await.keeping(table)
}

diogenes_conformance::names_suite!(dynamodb);
