mod facts;
mod false_alarms;
mod oracle;
mod properties;
mod verdicts;

/// Whether two numbers are the same, relative to the greater of `expected` and 1.
#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let off = (found - expected).abs();
    assert!(
        off <= tolerance * expected.abs().max(1.0),
        "{found} is not {expected}: off by {off:e}"
    );
}
