//! The flags of a model's spec that are more than text and numbers.

use diogenes_core::fleet::ColdStart;

/// What happens to requests while no replica is ready.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ColdStartArg {
    /// Hold them; a stream opens at once and reports the startup progress
    Hold,
    /// Answer 503 with `Retry-After`
    Reject,
}

impl ColdStartArg {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hold => name_of(ColdStart::Hold),
            Self::Reject => name_of(ColdStart::Reject),
        }
    }
}

pub(super) fn name_of(cold_start: ColdStart) -> &'static str {
    match cold_start {
        ColdStart::Hold => "hold",
        ColdStart::Reject => "reject",
    }
}

/// Parses `NAME=VALUE`; the value may be empty and contain `=`.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("`{text}` is not a variable; use NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_a_name_and_anything() {
        assert_eq!(variable("A=1"), Ok(("A".into(), "1".into())));
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        assert!(variable("A").is_err());
        assert!(variable("=1").is_err());
    }
}
