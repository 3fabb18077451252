use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use diogenes_core::ports::{Expect, StateStore as _};
use diogenes_core::testing::ManualClock;
use rusqlite::Connection;

use super::super::{OpenError, SqliteStore};
use super::{bound_by_permissions, directory, key, open, put};

/// Every file of a directory with the length and a hash of its content.
fn contents(directory: &Path) -> BTreeMap<String, (usize, u64)> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let content = fs::read(&path).unwrap_or_default();
            let mut hash = DefaultHasher::new();
            content.hash(&mut hash);
            (name, (content.len(), hash.finish()))
        })
        .collect()
}

/// The refusal of the file at `path`, which must name it and leave it as it is.
fn refusal(path: &Path) -> OpenError {
    let directory = path.parent().unwrap();
    let before = contents(directory);
    let error = SqliteStore::open(path, Arc::new(ManualClock::default())).unwrap_err();
    assert_eq!(contents(directory), before, "{error}");
    let message = error.to_string();
    assert!(message.contains(directory.to_str().unwrap()), "{message}");
    error
}

#[test]
fn missing_directory_is_named() {
    let (directory, _) = directory();
    let path = directory.path().join("missing").join("state.db");
    let error = SqliteStore::open(&path, Arc::new(ManualClock::default())).unwrap_err();
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error:?}");
}

#[test]
fn what_is_no_database_is_refused() {
    for content in ["x", "a text file\n", &"long text ".repeat(5000)] {
        let (_directory, path) = directory();
        fs::write(&path, content).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    }
    let (_directory, path) = directory();
    fs::create_dir(&path).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn truncated_database_is_refused() {
    let (_directory, path) = directory();
    drop(open(&path));
    let whole = fs::read(&path).unwrap();
    for length in [50, 99, 100, 4096, whole.len() - 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refusal(&path);
        assert!(
            matches!(error, OpenError::NotADatabase { .. } | OpenError::Damaged { .. }),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn database_of_another_program_is_refused() {
    for id in [0, 7] {
        let (_directory, path) = directory();
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "application_id", id).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(other);
        match refusal(&path) {
            OpenError::Foreign { application_id, .. } => assert_eq!(application_id, id),
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn log_of_another_program_is_left_alone() {
    let (_theirs, source) = directory();
    let other = Connection::open(&source).unwrap();
    other.execute_batch("PRAGMA journal_mode=wal; CREATE TABLE theirs (x)").unwrap();
    // As a crash leaves them: the table stands in the log only.
    let (place, path) = directory();
    for suffix in ["", "-wal"] {
        let name = format!("state.db{suffix}");
        fs::copy(source.with_file_name(&name), place.path().join(&name)).unwrap();
    }
    let before = contents(place.path());
    let error = SqliteStore::open(&path, Arc::new(ManualClock::default())).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    let after = contents(place.path());
    for (name, content) in before {
        assert_eq!(after.get(&name), Some(&content), "{name}");
    }
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let (_directory, path) = directory();
    let store = open(&path);
    store.commit(&[put("a", 1, Expect::Any)]).await.unwrap();
    drop(store);
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    newer.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())).unwrap();
    drop(newer);
    match refusal(&path) {
        OpenError::Newer { found, known, .. } => assert_eq!((found, known), (99, 1)),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn damaged_page_is_found() {
    let (_directory, path) = directory();
    let store = open(&path);
    let text = "x".repeat(3000);
    for number in 0..20 {
        let sort = format!("{number:03}");
        let write = put(&sort, text.clone(), Expect::Any);
        store.commit(&[write]).await.unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    for page in 2..bytes.len() / 4096 {
        bytes[page * 4096..page * 4096 + 64].fill(0xAA);
    }
    fs::write(&path, &bytes).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn read_only_places_are_refused() {
    if !bound_by_permissions("sqlite::tests::open::read_only_places_are_refused") {
        return;
    }
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let (place, path) = directory();
    set_mode(place.path(), 0o500);
    let error = refusal(&path);
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");

    set_mode(place.path(), 0o700);
    drop(open(&path));
    set_mode(place.path(), 0o500);
    match refusal(&path) {
        OpenError::ReadOnly { path } => assert_eq!(path, place.path()),
        error => panic!("{error:?}"),
    }
    set_mode(place.path(), 0o700);
    for mode in [0o400, 0o000] {
        set_mode(&path, mode);
        let error = SqliteStore::open(&path, Arc::new(ManualClock::default())).unwrap_err();
        match error {
            OpenError::ReadOnly { path: named } => assert_eq!(named, path),
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn new_file_is_its_owners_only() {
    let (_directory, path) = directory();
    let _store = open(&path);
    for suffix in ["", "-wal", "-shm"] {
        let path = path.with_file_name(format!("state.db{suffix}"));
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn closed_store_leaves_one_file_that_opens_again() {
    let (directory, path) = directory();
    let store = open(&path);
    store.commit(&[put("a", 1, Expect::Any)]).await.unwrap();
    let before = store.get(&key("a")).await.unwrap();
    drop(store);
    assert_eq!(contents(directory.path()).into_keys().collect::<Vec<_>>(), ["state.db"]);
    let store = open(&path);
    assert_eq!(store.get(&key("a")).await.unwrap(), before);
}

#[test]
fn file_may_be_created_by_many_at_once() {
    let (_directory, path) = directory();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| open(&path));
        }
    });
}
