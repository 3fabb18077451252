//! The fault matrix: what an inference server can do wrong, for a plain call, a stream, and a
//! stream that came while the model was asleep.
//!
//! The replicas are `scripted-upstream`s, which play the script that a request brings. A
//! new misbehaviour is one more row.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails at once"
)]

mod case;
mod crashes;
mod matrix;
mod recovery;
mod rows_before;
mod rows_body;
mod rows_status;
mod rows_stream;
mod verdict;
mod wire;

use case::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_call_gets_a_whole_answer_or_an_error() {
    matrix::run(Mode::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_whole_or_ends_in_an_error() {
    matrix::run(Mode::Stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_stream_is_whole_or_ends_in_an_error() {
    matrix::run(Mode::Held).await;
}

#[test]
fn the_matrix_is_as_large_as_it_says() {
    let rows = matrix::rows();
    let of_both = rows.iter().filter(|row| {
        [Mode::Plain, Mode::Stream, Mode::Held].iter().all(|mode| row.cell(*mode).is_some())
    });
    assert!(of_both.count() >= 30, "rows that concern every mode");
    for (at, row) in rows.iter().enumerate() {
        let same = rows.iter().skip(at + 1).any(|other| other.name == row.name);
        assert!(!same, "two rows are named `{}`", row.name);
    }
}
