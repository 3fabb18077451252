use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, Item, Key, Page, Query, StateStore, StoreError, Version, Write, check_key, check_query,
    check_writes,
};

use super::call::Call;
use super::counter::Addition;
use super::item::{StoredItem, item_key, item_partition};
use super::patience;
use super::store::DynamoStore;
use super::write::Prepared;

#[async_trait]
impl StateStore for DynamoStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        check_key(key)?;
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(item_key(key)))
            .consistent_read(true);
        let answer = patience::answer(|| request.clone().send()).await.map_err(|failure| {
            let call = Call {
                table: self.table.clone(),
                actions: vec!["dynamodb:GetItem"],
                partitions: vec![item_partition(&key.partition)],
                writes: false,
            };
            failure.fault.into_store_error(&call, failure.in_doubt)
        })?;
        let Some(attributes) = answer.item.filter(|item| !item.is_empty()) else {
            return Ok(None);
        };
        let stored = StoredItem::read(attributes, &self.table)?;
        if !stored.lives(self.clock.now()) {
            return Ok(None);
        }
        stored.into_item(&self.table).map(Some)
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        check_query(query)?;
        self.page(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        check_writes(writes)?;
        let now = self.clock.now();
        let prepared = writes
            .iter()
            .enumerate()
            .map(|(place, write)| Prepared::new(place, write, now))
            .collect::<Result<Vec<_>, _>>()?;
        let versions = prepared.iter().map(|write| write.version.clone()).collect();
        let asking: Vec<_> = prepared.into_iter().filter(Prepared::asks_something).collect();
        match asking.as_slice() {
            [] => {}
            [one] => self.commit_one(one).await?,
            several => self.commit_all(several).await?,
        }
        Ok(versions)
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        check_key(key)?;
        let now = self.clock.now();
        self.add_to(&Addition { place: 0, key, delta, bound, expires_at, now }).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        check_key(key)?;
        self.value_of_counter(key).await
    }
}
