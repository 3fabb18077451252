use rusqlite::{Connection, TransactionBehavior};

/// Marks a file as ours ("DIOG"), in the header field that `file` and SQLite itself show.
pub(super) const APPLICATION_ID: i32 = 0x4449_4F47;

/// The steps from an empty file to the newest schema, each with the version that it leads to.
/// Only ever append: a file in the field has taken those before.
const MIGRATIONS: [(i32, &str); 1] = [(
    1,
    "
    CREATE TABLE items (
        partition TEXT NOT NULL,
        sort TEXT NOT NULL,
        version TEXT NOT NULL,
        document TEXT NOT NULL,
        index_partition TEXT,
        index_sort TEXT,
        expires_at INTEGER,    -- seconds since 1970
        expires_nanos INTEGER, -- and nanoseconds, with the same sign
        PRIMARY KEY (partition, sort)
    ) STRICT;
    CREATE INDEX items_by_index ON items (index_partition, index_sort, partition, sort)
        WHERE index_partition IS NOT NULL;
    CREATE INDEX items_by_expiry ON items (expires_at, expires_nanos)
        WHERE expires_at IS NOT NULL;

    CREATE TABLE counters (
        partition TEXT NOT NULL,
        sort TEXT NOT NULL,
        value INTEGER NOT NULL,
        expires_at INTEGER,
        expires_nanos INTEGER,
        PRIMARY KEY (partition, sort)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX counters_by_expiry ON counters (expires_at, expires_nanos)
        WHERE expires_at IS NOT NULL;
",
)];

/// The schema version that this program writes.
pub(super) const NEWEST: i32 = 1;

/// Brings the file to the newest schema, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read under the write lock: another process may have migrated meanwhile.
    let found = version(&transaction)?;
    for (_, step) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        transaction.execute_batch(step)?;
    }
    if found < NEWEST {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", NEWEST)?;
    }
    transaction.commit()
}

/// The schema version of the file; 0 for an empty one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The id of the program that the file belongs to; 0 for most programs.
pub(super) fn application_id(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_leads_one_version_on() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, (1..=NEWEST).collect::<Vec<_>>());
    }
}
