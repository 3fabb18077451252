//! Numbers of bytes as people write them: `512MiB`, `100GB`. For serde's `deserialize_with`.

use serde::{Deserialize, Deserializer};

/// What each unit is in bytes.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// A number of bytes, or one with its unit.
///
/// # Errors
/// When it is neither, or more than 64 bits hold.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(String),
    }
    let wrong = |what: &str| {
        serde::de::Error::custom(format!("{what} is not a size; use `512MiB` or `8GiB`"))
    };
    match Written::deserialize(from).map_err(|_| wrong("this"))? {
        Written::Bytes(bytes) => Ok(bytes),
        Written::Text(text) => {
            parse(&text).ok_or_else(|| wrong(&format!("`{}`", text.escape_debug())))
        }
    }
}

fn parse(text: &str) -> Option<u64> {
    let found = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = found.unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(deserialize_with = "deserialize")]
        size: u64,
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |size: &str| {
            serde_json::from_str::<File>(&format!(r#"{{"size":{size}}}"#)).map(|read| read.size)
        };
        for (written, bytes) in [
            ("12", 12),
            (r#""512MiB""#, 512 << 20),
            (r#""8 GiB""#, 8 << 30),
            (r#""2GB""#, 2_000_000_000),
            (r#""12""#, 12),
        ] {
            assert_eq!(read(written).unwrap(), bytes, "{written}");
        }
        for wrong in [r#""much""#, r#""-1GiB""#, r#""99999999999TiB""#, "-1", "true"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("is not a size; use `512MiB`"), "{error}");
        }
    }
}
