//! What serde and the standard library say, in words for those who write no Rust.

use std::str::FromStr;

/// What is wrong with a value of a file.
pub(crate) fn plain(message: &str) -> String {
    let address = "not an address; use an IP address and a port, such as `127.0.0.1:8080`";
    let mut plain = message
        .replace("invalid socket address syntax", address)
        .replace("expected a sequence", "expected a list such as `[\"vllm\", \"serve\"]`")
        .replace("expected a map", "expected a table");
    let mut is_number = false;
    for (name, range) in [
        ("usize", "a whole number, 0 or more"),
        ("u64", "a whole number, 0 or more"),
        ("u32", "a whole number, 0 to 4294967295"),
        ("u16", "a port, 1 to 65535"),
        ("f64", "a number"),
    ] {
        let expected = format!("expected {name}");
        is_number |= plain.contains(&expected);
        plain = plain.replace(&expected, &format!("expected {range}"));
    }
    let quoted =
        plain.strip_prefix("invalid type: string \"").and_then(|rest| rest.split_once('"'));
    if is_number && quoted.is_some_and(|(text, _)| text.parse::<u64>().is_ok()) {
        plain.push_str("; write it without quotes");
    }
    plain
}

/// Parses a number of the command line.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    let text = text.trim();
    text.parse().map_err(|_| match text.parse::<f64>() {
        Ok(number) if number < 0.0 => "must not be negative".into(),
        Ok(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => "is too large".into(),
        Ok(_) => "must be a whole number, such as `100`".into(),
        Err(_) => "is not a number; use digits, such as `100`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_file_is_explained_without_rusts_types() {
        for (message, expected) in [
            (
                "invalid value: integer `99999`, expected u16",
                "invalid value: integer `99999`, expected a port, 1 to 65535",
            ),
            (
                "invalid type: string \"8000\", expected u16",
                "invalid type: string \"8000\", expected a port, 1 to 65535; write it without quotes",
            ),
            (
                "invalid type: string \"big\", expected usize",
                "invalid type: string \"big\", expected a whole number, 0 or more",
            ),
            (
                "invalid type: string \"8\", expected a sequence",
                "invalid type: string \"8\", expected a list such as `[\"vllm\", \"serve\"]`",
            ),
        ] {
            assert_eq!(plain(message), expected);
        }
    }

    #[test]
    fn a_number_that_is_none_is_explained() {
        assert_eq!(number::<usize>("100"), Ok(100));
        assert_eq!(number::<f64>("0.5"), Ok(0.5));
        for (text, part) in [
            ("x", "is not a number"),
            ("", "is not a number"),
            ("1.5", "must be a whole number"),
            ("-1", "must not be negative"),
            ("99999", "is too large"),
        ] {
            let error = number::<u16>(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
