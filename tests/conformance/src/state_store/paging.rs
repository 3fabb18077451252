//! Walking through a listing page by page.

use diogenes_core::ports::{Cursor, Direction, Expect, Page, Query, StoreError, Table};

use super::Fixture;
use super::support::{delete, key, listing, put, put_indexed};

const COUNT: usize = 12;

/// Puts [`COUNT`] items, two spaces apart in their order.
async fn fill(fixture: &Fixture) -> Vec<String> {
    let sorts: Vec<_> = (0..COUNT).map(|number| format!("a{:03}", number * 2)).collect();
    let writes: Vec<_> = sorts
        .iter()
        .map(|sort| put(&key("p", sort), sort.as_str(), Expect::Any))
        .chain([
            put(&key("p", "Z"), 0, Expect::Any),
            put(&key("p", "b"), 0, Expect::Any),
            put(&key("o", "a1"), 0, Expect::Any),
            put(&key("q", "a1"), 0, Expect::Any),
        ])
        .collect();
    fixture.commit(&writes).await;
    sorts
}

fn paged(limit: usize, direction: Direction) -> Query {
    let mut query = listing("p", "a");
    query.limit = limit;
    query.direction = direction;
    query
}

fn sorts(page: &Page) -> Vec<String> {
    page.items.iter().map(|item| item.key.sort.clone()).collect()
}

/// Reads pages until `count` items were seen, and goes on from there.
async fn first_items(fixture: &Fixture, query: &Query, count: usize) -> (Vec<String>, Query) {
    let (mut seen, mut query) = (Vec::new(), query.clone());
    while seen.len() < count {
        let page = fixture.page(&query).await;
        seen.extend(sorts(&page));
        query.cursor = Some(page.next.expect("more items follow"));
    }
    (seen, query)
}

/// Every page size shows every item once, in order, in both directions.
pub async fn pages_lose_and_double_nothing(fixture: &Fixture) {
    let mut expected = fill(fixture).await;
    for direction in [Direction::Ascending, Direction::Descending] {
        for limit in 1..=COUNT + 2 {
            let seen = fixture.sorts(&paged(limit, direction)).await;
            assert_eq!(seen, expected, "limit {limit}, {direction:?}");
        }
        expected.reverse();
    }
}

/// A cursor is a place in the listing, not a page number.
pub async fn limit_may_change_between_pages(fixture: &Fixture) {
    let expected = fill(fixture).await;
    let (mut seen, mut query) = first_items(fixture, &paged(1, Direction::Ascending), 3).await;
    query.limit = 1000;
    seen.extend(fixture.sorts(&query).await);
    assert_eq!(seen, expected);
}

/// Nothing is used up by reading a page.
pub async fn page_may_be_read_twice(fixture: &Fixture) {
    fill(fixture).await;
    let (_, query) = first_items(fixture, &paged(4, Direction::Ascending), 4).await;
    let once = fixture.all(&query).await;
    assert_eq!(fixture.all(&query).await, once);
}

/// The next page goes on at the same place when items around it go, even the last one seen.
pub async fn deleted_items_do_not_move_the_next_page(fixture: &Fixture) {
    for direction in [Direction::Ascending, Direction::Descending] {
        let mut expected = fill(fixture).await;
        if direction == Direction::Descending {
            expected.reverse();
        }
        let (seen, query) = first_items(fixture, &paged(5, direction), 5).await;
        let gone = [seen[0].as_str(), seen.last().unwrap(), &expected[seen.len()]];
        let deletes = gone.map(|sort| delete(&key("p", sort), Expect::Any));
        fixture.commit(&deletes).await;
        let rest = fixture.sorts(&query).await;
        assert_eq!(rest, expected[seen.len() + 1..], "{direction:?}");
    }
}

/// Items that come in before the place are not shown, those after it are, and none twice.
pub async fn inserted_items_do_not_move_the_next_page(fixture: &Fixture) {
    let expected = fill(fixture).await;
    let (seen, query) = first_items(fixture, &paged(5, Direction::Ascending), 5).await;
    let (before, after) = ("a001", "a021");
    for sort in [before, after] {
        fixture.put(&key("p", sort), 1).await;
    }
    // The item at the place itself is written again.
    fixture.put(&key("p", seen.last().unwrap()), 2).await;
    let mut wanted = expected[seen.len()..].to_vec();
    wanted.push(after.into());
    wanted.sort_unstable();
    assert_eq!(fixture.sorts(&query).await, wanted);
}

/// A cursor fits the table, partition, prefix and direction that it came from, and no other.
pub async fn cursor_of_another_query_is_refused(fixture: &Fixture) {
    fill(fixture).await;
    fixture.write(put_indexed(&key("r", "a"), 1, ("p", "a1"))).await;
    let (_, query) = first_items(fixture, &paged(3, Direction::Ascending), 3).await;
    let others = [
        Query { table: Table::Index, ..query.clone() },
        Query { partition: "q".into(), ..query.clone() },
        Query { sort_prefix: String::new(), ..query.clone() },
        Query { sort_prefix: "a0".into(), ..query.clone() },
        Query { direction: Direction::Descending, ..query.clone() },
        Query {
            // Joined, the two parts read as in the cursor's query.
            partition: "pa".into(),
            sort_prefix: String::new(),
            ..query.clone()
        },
    ];
    for other in others {
        let page = fixture.shared().list(&other).await;
        assert!(matches!(page, Err(StoreError::InvalidCursor)), "{other:?}: {page:?}");
    }
    fixture.page(&query).await;
}

/// What is not a cursor at all is refused, and never a place.
pub async fn garbage_cursor_is_refused(fixture: &Fixture) {
    fill(fixture).await;
    let (_, mut query) = first_items(fixture, &paged(3, Direction::Ascending), 3).await;
    let real = query.cursor.clone().unwrap().as_str().to_owned();
    let half = real[..real.len() / 2].to_owned();
    for garbage in [
        String::new(),
        "x".into(),
        "zz".into(),
        "a".repeat(100_001),
        "é".into(),
        "5b5d".into(),
        "6e756c6c".into(),
        "' OR 1=1 --".into(),
        half,
        format!("{real}00"),
        format!("00{real}"),
    ] {
        query.cursor = Some(Cursor::from_caller(garbage.clone()));
        let page = fixture.shared().list(&query).await;
        assert!(matches!(page, Err(StoreError::InvalidCursor)), "{garbage:?}: {page:?}");
    }
}

/// A cursor may travel as text to a caller and back.
pub async fn cursor_survives_its_text_form(fixture: &Fixture) {
    let expected = fill(fixture).await;
    let (mut seen, mut query) = first_items(fixture, &paged(5, Direction::Ascending), 5).await;
    let text = query.cursor.unwrap().as_str().to_owned();
    query.cursor = Some(Cursor::from_caller(text));
    seen.extend(fixture.sorts(&query).await);
    assert_eq!(seen, expected);
}
