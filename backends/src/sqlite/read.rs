use diogenes_core::Timestamp;
use diogenes_core::ports::{Cursor, Direction, Item, Key, Page, Query, Table};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::error::Fault;
use super::row::{COLUMNS, LIVES, StoredRow, expiry, seconds_and_nanos};

/// A page ends early above this many bytes of documents, so that one listing cannot fill the
/// memory: the largest page has 1000 documents of 256 KiB.
pub(super) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The size of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSize {
    pub key: Key,
    /// Of its document.
    pub bytes: usize,
    pub expires_at: Option<Timestamp>,
}

/// The living item at `key`.
pub(super) fn get(
    connection: &Connection,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Item>, Fault> {
    let row = standing(connection, key, now)?;
    Ok(row.map(StoredRow::into_item).transpose()?)
}

/// The living row at `key`.
pub(super) fn standing(
    connection: &Connection,
    key: &Key,
    now: Timestamp,
) -> rusqlite::Result<Option<StoredRow>> {
    living(connection, (COLUMNS, "items"), key, now, StoredRow::read)
}

/// The value of the living counter at `key`.
pub(super) fn counter(
    connection: &Connection,
    key: &Key,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    living(connection, ("value", "counters"), key, now, |row| row.get(0))
}

/// What lives at `key` of a table, read from these columns.
fn living<T>(
    connection: &Connection,
    (columns, table): (&str, &str),
    key: &Key,
    now: Timestamp,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let (second, nanos) = seconds_and_nanos(now);
    connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM {table}
             WHERE partition = :partition AND sort = :sort AND {LIVES}"
        ))?
        .query_row(
            named_params! {
                ":partition": key.partition,
                ":sort": key.sort,
                ":second": second,
                ":nanos": nanos,
            },
            read,
        )
        .optional()
}

/// The sizes of the living items whose partitions begin with `prefix`.
pub(super) fn sizes(
    connection: &Connection,
    prefix: &str,
    now: Timestamp,
) -> Result<Vec<ItemSize>, Fault> {
    let (second, nanos) = seconds_and_nanos(now);
    // No text of UTF-8 is behind the last character.
    let mut statement = connection.prepare(&format!(
        "SELECT partition, sort, octet_length(document), expires_at, expires_nanos FROM items
         WHERE partition >= :prefix AND partition < :prefix || char(1114111) AND {LIVES}
         ORDER BY expires_at, expires_nanos"
    ))?;
    let parameters = named_params! { ":prefix": prefix, ":second": second, ":nanos": nanos };
    let rows = statement.query_map(parameters, |row| {
        let (partition, sort): (String, String) = (row.get(0)?, row.get(1)?);
        let bytes = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX);
        Ok(ItemSize { key: Key::new(partition, sort), bytes, expires_at: expiry(row, 3)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// One page of `query`, whose cursor stands at `after`.
pub(super) fn list(
    connection: &Connection,
    query: &Query,
    after: Option<(String, Key)>,
    now: Timestamp,
) -> Result<Page, Fault> {
    let (sql, parameters) = statement(query, after, now);
    let parameters: Vec<(&str, &dyn rusqlite::ToSql)> =
        parameters.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect();
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(parameters.as_slice())?;
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.items.len() == query.limit || bytes > PAGE_BYTES {
            page.next = page
                .items
                .last()
                .map(|item| Cursor::after(query, sort_in(query.table, item), &item.key));
            break;
        }
        let row = StoredRow::read(row)?;
        bytes += row.document.len();
        page.items.push(row.into_item()?);
    }
    Ok(page)
}

fn sort_in(table: Table, item: &Item) -> &str {
    match (table, &item.index) {
        (Table::Index, Some(index)) => &index.sort,
        (Table::Main | Table::Index, _) => &item.key.sort,
    }
}

/// The statement of a listing. It names only the bounds that it has, because SQLite turns a
/// bound into a seek only when it stands there by itself.
pub(super) fn statement(
    query: &Query,
    after: Option<(String, Key)>,
    now: Timestamp,
) -> (String, Vec<(&'static str, Value)>) {
    let (partition, sort, order) = match query.table {
        Table::Main => ("partition", "sort", ["sort"].as_slice()),
        Table::Index => {
            ("index_partition", "index_sort", ["index_sort", "partition", "sort"].as_slice())
        }
    };
    let (beyond, direction) = match query.direction {
        Direction::Ascending => (">", "ASC"),
        Direction::Descending => ("<", "DESC"),
    };
    let (second, nanos) = seconds_and_nanos(now);
    let mut parameters = vec![
        (":of", Value::from(query.partition.clone())),
        (":second", second.into()),
        (":nanos", nanos.into()),
        // One more than the page shows whether another one follows.
        (":limit", Value::from(limit(query).saturating_add(1))),
    ];
    let (mut first, mut end) = (Some(query.sort_prefix.clone()), successor(&query.sort_prefix));
    let mut conditions = vec![format!("{partition} = :of"), LIVES.into()];
    if let Some((after_sort, after_key)) = after {
        match query.table {
            Table::Main => conditions.push(format!("sort {beyond} :after")),
            Table::Index => {
                conditions.push(format!(
                    "(index_sort, partition, sort) {beyond}
                     (:after, :after_partition, :after_key)"
                ));
                parameters.push((":after_partition", after_key.partition.into()));
                parameters.push((":after_key", after_key.sort.into()));
            }
        }
        // The cursor is the nearer bound on its side, unless somebody made it up.
        match query.direction {
            Direction::Ascending => first = first.filter(|first| *first > after_sort),
            Direction::Descending => end = end.filter(|end| *end < after_sort),
        }
        parameters.push((":after", after_sort.into()));
    }
    if let Some(first) = first {
        conditions.push(format!("{sort} >= :first"));
        parameters.push((":first", first.into()));
    }
    if let Some(end) = end {
        conditions.push(format!("{sort} < :end"));
        parameters.push((":end", end.into()));
    }
    let order: Vec<_> = order.iter().map(|column| format!("{column} {direction}")).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM items WHERE {} ORDER BY {} LIMIT :limit",
        conditions.join(" AND "),
        order.join(", ")
    );
    (sql, parameters)
}

fn limit(query: &Query) -> i64 {
    i64::try_from(query.limit).unwrap_or(i64::MAX)
}

/// The smallest text above every text that begins with `prefix`; none where there is no end.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // A range of characters steps over the surrogates by itself.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}
