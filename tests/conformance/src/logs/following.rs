//! What a log has from an offset on.

use super::{Fixture, MOST, claim, model};

/// What is read of a log from its end on is what was printed since.
pub async fn reading_continues_where_it_ended(f: &Fixture) {
    let (of, name) = (claim("claim-1"), model());
    f.started(&of, "one\n").await;
    let mut offset = f.tail(MOST).await.unwrap().next_offset;
    for lines in ["two\n", "drei\nvier fünf\n"] {
        f.servers.print(&name, &of, lines.as_bytes()).await;
        f.until_tail(|tail| tail.text.ends_with(lines)).await;
        let chunk = f.read_from(&of, offset, MOST).await.unwrap();
        assert_eq!((chunk.text.as_str(), &chunk.claim), (lines, &of));
        offset = chunk.next_offset;
    }
}

/// Where nothing was printed since, there is a log, and it says nothing.
pub async fn nothing_new_is_an_empty_text(f: &Fixture) {
    let of = claim("claim-1");
    f.started(&of, "one\n").await;
    let end = f.tail(MOST).await.unwrap().next_offset;
    let chunk = f.read_from(&of, end, MOST).await.unwrap();
    assert_eq!((chunk.text.as_str(), chunk.next_offset), ("", end));
}

/// Pieces of any size make up the whole: none is longer than asked for, none is left out, and no
/// character is cut.
pub async fn pieces_make_up_the_whole(f: &Fixture) {
    let lines = "eins\nzwölf 🦀\nüber\n";
    let of = claim("claim-1");
    f.started(&of, lines).await;
    let end = f.tail(MOST).await.unwrap().next_offset;
    for most in [4, 5, 7, lines.len()] {
        let (mut text, mut offset) = (String::new(), end - lines.len() as u64);
        while offset < end {
            let chunk = f.read_from(&of, offset, most).await.unwrap();
            assert!(chunk.text.len() <= most, "{chunk:?} of at most {most} bytes");
            assert!(chunk.next_offset > offset, "{chunk:?} leads nowhere");
            text.push_str(&chunk.text);
            offset = chunk.next_offset;
        }
        assert_eq!((text.as_str(), offset), (lines, end), "in pieces of {most}");
    }
}

/// An older log stays to be read by its claim.
pub async fn older_log_is_read_by_its_claim(f: &Fixture) {
    f.started(&claim("claim-1"), "old\n").await;
    let start = f.tail(MOST).await.unwrap().next_offset - "old\n".len() as u64;
    f.started(&claim("claim-2"), "new\n").await;
    let chunk = f.read_from(&claim("claim-1"), start, MOST).await.unwrap();
    assert_eq!((chunk.text.as_str(), chunk.claim), ("old\n", claim("claim-1")));
}

/// A claim that never ran has no log.
pub async fn unknown_claim_has_no_log(f: &Fixture) {
    f.started(&claim("claim-1"), "one\n").await;
    assert_eq!(f.read_from(&claim("claim-2"), 0, MOST).await, None);
}
