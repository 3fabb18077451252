use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use diogenes_core::ports::{Cursor, Direction, Key, MAX_KEY_BYTES, Page, Query, StoreError, Table};

use super::call::Call;
use super::condition::names;
use super::item::{
    Attributes, INDEX, INDEX_PARTITION, INDEX_SORT, PARTITION, SORT, StoredItem, item_key,
    item_partition, text,
};
use super::patience;
use super::store::DynamoStore;

/// A page ends early above this many bytes of documents, so that one listing cannot fill the
/// memory: the largest page has 1000 documents of 256 KiB. One call returns 1 MB at most.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// A page ends early after this many calls, so that a listing of expired items ends in time.
const PAGE_CALLS: usize = 10;
/// What is asked for at least after a call whose items had expired: they may be many.
const FEWEST: usize = 100;

impl DynamoStore {
    pub(super) async fn page(&self, query: &Query) -> Result<Page, StoreError> {
        let mut start = match &query.cursor {
            Some(cursor) => Some(start_key(query, cursor)?),
            None => None,
        };
        if query.sort_prefix.len() > MAX_KEY_BYTES {
            return Ok(Page::default());
        }
        let now = self.clock.now();
        let base = self.query(query);
        let (mut page, mut bytes) = (Page::default(), 0);
        for round in 0..PAGE_CALLS {
            let fewest = if round == 0 { 1 } else { FEWEST };
            let wanted = (query.limit - page.items.len()).max(fewest);
            let request = base
                .clone()
                .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start.take());
            let answer = patience::answer(|| request.clone().send()).await.map_err(|failure| {
                failure.fault.into_store_error(&self.listing(query), failure.in_doubt)
            })?;
            for attributes in answer.items.unwrap_or_default() {
                let stored = StoredItem::read(attributes, &self.table)?;
                if !stored.lives(now) {
                    continue;
                }
                // An item too many shows that the page does not end the listing.
                if page.items.len() == query.limit || bytes > PAGE_BYTES {
                    page.next = page.items.last().map(|item| {
                        let sort = match (query.table, &item.index) {
                            (Table::Index, Some(index)) => &index.sort,
                            (Table::Main | Table::Index, _) => &item.key.sort,
                        };
                        Cursor::after(query, sort, &item.key)
                    });
                    return Ok(page);
                }
                bytes += stored.bytes();
                page.items.push(stored.into_item(&self.table)?);
            }
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            let Some(last) = &start else {
                return Ok(page);
            };
            if page.items.len() == query.limit || bytes > PAGE_BYTES || round + 1 == PAGE_CALLS {
                page.next = Some(self.cursor(query, last.clone())?);
                return Ok(page);
            }
        }
        Ok(page)
    }

    fn query(&self, query: &Query) -> QueryFluentBuilder {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .scan_index_forward(query.direction == Direction::Ascending);
        let (request, partition, sort) = match query.table {
            Table::Main => (
                request
                    .consistent_read(true)
                    .expression_attribute_values(":p", text(item_partition(&query.partition))),
                PARTITION,
                SORT,
            ),
            Table::Index => (
                request.index_name(INDEX).expression_attribute_values(":p", text(&query.partition)),
                INDEX_PARTITION,
                INDEX_SORT,
            ),
        };
        // DynamoDB takes no empty prefix and no name that is not used.
        if query.sort_prefix.is_empty() {
            request
                .key_condition_expression("#p = :p")
                .set_expression_attribute_names(Some(names(&[("#p", partition)])))
        } else {
            request
                .key_condition_expression("#p = :p AND begins_with(#s, :s)")
                .set_expression_attribute_names(Some(names(&[("#p", partition), ("#s", sort)])))
                .expression_attribute_values(":s", text(&query.sort_prefix))
        }
    }

    fn listing(&self, query: &Query) -> Call {
        let partition = match query.table {
            Table::Main => item_partition(&query.partition),
            Table::Index => format!("{} (index)", query.partition),
        };
        Call {
            table: self.table.clone(),
            actions: vec!["dynamodb:Query"],
            partitions: vec![partition],
            writes: false,
        }
    }

    /// The cursor for the key at which DynamoDB stopped.
    fn cursor(&self, query: &Query, last: Attributes) -> Result<Cursor, StoreError> {
        let sort = last.get(match query.table {
            Table::Main => SORT,
            Table::Index => INDEX_SORT,
        });
        let sort = sort.and_then(|sort| sort.as_s().ok()).cloned().unwrap_or_default();
        let key = super::item::read_key(last, &self.table)?;
        Ok(Cursor::after(query, &sort, &key))
    }
}

/// Where a listing goes on, as DynamoDB wants it. A place outside of the listing would be an
/// error there, so it is refused here.
fn start_key(
    query: &Query,
    cursor: &Cursor,
) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let (sort, key) = cursor.position(query)?;
    let Key { partition, sort: key_sort } = &key;
    let inside = match query.table {
        Table::Main => *partition == query.partition && *key_sort == sort,
        Table::Index => !partition.is_empty() && !key_sort.is_empty(),
    };
    if !inside || sort.is_empty() || !sort.starts_with(&query.sort_prefix) {
        return Err(StoreError::InvalidCursor);
    }
    let mut start = item_key(&key);
    if query.table == Table::Index {
        start.insert(INDEX_PARTITION.to_owned(), text(&query.partition));
        start.insert(INDEX_SORT.to_owned(), text(sort));
    }
    Ok(start)
}
