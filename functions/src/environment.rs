//! The environment of a function.

use std::time::Duration;

/// A variable that is missing or cannot be read; the template sets them all.
#[derive(thiserror::Error)]
#[error("the environment variable {name} {problem}; the template of the stack sets it")]
pub struct BadVariable {
    name: &'static str,
    problem: String,
}

crate::display::debug_as_display!(BadVariable);

impl BadVariable {
    /// What is wrong with the variable `name`.
    pub fn new(name: &'static str, problem: impl Into<String>) -> Self {
        Self { name, problem: problem.into() }
    }
}

/// A variable that must be there.
pub fn required(name: &'static str) -> Result<String, BadVariable> {
    match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => Ok(value),
        Ok(_) => Err(BadVariable::new(name, "is empty")),
        Err(std::env::VarError::NotPresent) => Err(BadVariable::new(name, "is missing")),
        Err(std::env::VarError::NotUnicode(_)) => Err(BadVariable::new(name, "is not UTF-8")),
    }
}

/// A variable that may be missing.
pub fn optional(name: &'static str, default: &str) -> Result<String, BadVariable> {
    match std::env::var(name) {
        Err(std::env::VarError::NotPresent) => Ok(default.to_owned()),
        _ => required(name),
    }
}

/// A duration as people write it, such as `15m`.
pub fn duration(name: &'static str, default: Duration) -> Result<Duration, BadVariable> {
    match std::env::var(name) {
        Ok(text) => diogenes_core::duration::parse(&text)
            .map_err(|problem| BadVariable::new(name, format!("is not usable: {problem}"))),
        Err(_) => Ok(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = required("DIOGENES_NOT_SET_ANYWHERE").unwrap_err().to_string();
        assert!(error.contains("DIOGENES_NOT_SET_ANYWHERE is missing"), "{error}");
    }

    #[test]
    fn an_optional_variable_has_its_default() {
        assert_eq!(optional("DIOGENES_NOT_SET_ANYWHERE", "$Default").unwrap(), "$Default");
        // Set for every test by cargo.
        assert_eq!(optional("CARGO_PKG_NAME", "").unwrap(), "diogenes-functions");
    }

    #[test]
    fn an_absent_duration_has_its_default() {
        let most = Duration::from_mins(15);
        assert_eq!(duration("DIOGENES_NOT_SET_ANYWHERE", most).unwrap(), most);
    }
}
