//! Whole numbers as JSON Schema has them: `1.0` and `1e0` are 1.

use std::borrow::Cow;

/// The largest number up to which a double tells every whole number from its neighbours: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The same JSON with whole numbers written as such, since serde takes `1.0` for a fraction.
pub(super) fn numbers(json: &[u8]) -> Cow<'_, [u8]> {
    let mut written = Vec::new();
    // Up to where `json` is in `written`.
    let mut done = 0;
    let (mut place, mut in_text) = (0, false);
    while let Some(byte) = json.get(place) {
        let mut next = place + 1;
        match byte {
            b'\\' if in_text => next += 1,
            b'"' => in_text = !in_text,
            b'-' | b'0'..=b'9' if !in_text => {
                next = end_of_number(json, place);
                if begins(json, place)
                    && let Some(whole) = json.get(place..next).and_then(whole)
                {
                    written.extend_from_slice(json.get(done..place).unwrap_or_default());
                    written.extend_from_slice(whole.as_bytes());
                    done = next;
                }
            }
            _ => {}
        }
        place = next;
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    written.extend_from_slice(json.get(done..).unwrap_or_default());
    Cow::Owned(written)
}

/// Whether a value may begin there.
fn begins(json: &[u8], place: usize) -> bool {
    let before = place.checked_sub(1).and_then(|before| json.get(before));
    before.is_none_or(|before| b"[:, \t\r\n".contains(before))
}

fn end_of_number(json: &[u8], start: usize) -> usize {
    let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let rest = json.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|byte| is_of_number(byte)).count()
}

/// A whole number that is written with a point or an exponent, without them.
fn whole(number: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(number).ok()?;
    // What only Rust reads as a number has to stay what JSON refuses.
    let is_json = serde_json::from_str::<serde_json::Number>(text).is_ok();
    let value: f64 = text.parse().ok().filter(|_| is_json && text.contains(['.', 'e', 'E']))?;
    let is_whole = value.fract() == 0.0 && value.abs() <= EXACT;
    is_whole.then(|| if value == 0.0 { "0".to_owned() } else { format!("{value:.0}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> String {
        String::from_utf8(numbers(json.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn whole_numbers_lose_their_point() {
        for (json, expected) in [
            (r#"{"a":1.0,"b":[2.00,-3.0 ],"c":1e3}"#, r#"{"a":1,"b":[2,-3 ],"c":1000}"#),
            (r#"{"a": -0.0}"#, r#"{"a": 0}"#),
            ("1.50e1", "15"),
            ("9007199254740992.0", "9007199254740992"),
        ] {
            assert_eq!(written(json), expected);
        }
    }

    #[test]
    fn everything_else_stays() {
        for json in [
            r#"{"a":1,"b":0.5,"c":1.05e1,"d":"1.0","e\"1.0":"\\","f":1e300}"#,
            r#"{"a":"\"1.0","b":10}"#,
            // Not JSON, and not made JSON.
            "{\"a\":1.}",
            "{\"a\":01.0}",
            "{\"a\":+1.0}",
            "{\"a\":1.0.0}",
            "{\"a\":\"1.0",
            "\\1.0\"",
            "18446744073709551616.0",
            "",
        ] {
            assert_eq!(written(json), json);
            assert!(matches!(numbers(json.as_bytes()), Cow::Borrowed(_)), "{json}");
        }
    }
}
