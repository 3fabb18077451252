//! The end of the newest log.

use super::{Fixture, MOST, claim, model};

/// A model that never ran has no log, also beside one that did.
pub async fn model_that_never_ran_has_no_log(f: &Fixture) {
    assert_eq!(f.tail(MOST).await, None);
    f.started(&claim("claim-1"), "one\n").await;
    let other = "org/other".parse().unwrap();
    assert_eq!(f.source.tail(&other, MOST).await.unwrap(), None);
}

/// The whole log comes where it is short enough, and says whose it is.
pub async fn short_log_comes_whole(f: &Fixture) {
    f.started(&claim("claim-1"), "one\ntwo\nthree\n").await;
    let tail = f.tail(MOST).await.unwrap();
    assert_eq!((tail.claim, tail.text.as_str()), (claim("claim-1"), "one\ntwo\nthree\n"));
}

/// The log of the server that started last is read.
pub async fn newest_log_is_read(f: &Fixture) {
    f.started(&claim("claim-1"), "old\n").await;
    f.started(&claim("claim-2"), "new\n").await;
    let tail = f.tail(MOST).await.unwrap();
    assert_eq!((tail.claim, tail.text.as_str()), (claim("claim-2"), "new\n"));
}

/// At most so many bytes come, from the beginning of a line.
pub async fn tail_begins_at_a_line(f: &Fixture) {
    let lines = "first line\nsecond line\nthird line\n";
    f.started(&claim("claim-1"), lines).await;
    let whole = f.tail(MOST).await.unwrap();
    for (most, text) in [
        (lines.len(), lines),
        (lines.len() - 1, "second line\nthird line\n"),
        ("second line\nthird line\n".len(), "second line\nthird line\n"),
        ("e\nthird line\n".len(), "third line\n"),
    ] {
        let tail = f.tail(most).await.unwrap();
        assert_eq!(tail.text, text, "of at most {most} bytes");
        assert_eq!(tail.next_offset, whole.next_offset);
    }
}

/// Bytes that are not UTF-8 are replaced.
pub async fn bytes_that_are_not_text_are_replaced(f: &Fixture) {
    f.servers.start(&model(), &claim("claim-1")).await;
    f.servers.print(&model(), &claim("claim-1"), b"a\xffb\nzw\xc3\xb6lf\n").await;
    let tail = f.until_tail(|tail| tail.text.ends_with("zwölf\n")).await;
    assert_eq!(tail.text, "a\u{fffd}b\nzwölf\n");
}
