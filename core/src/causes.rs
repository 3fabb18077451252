//! Errors and what caused them.

use std::error::Error;

/// The error, its cause, the cause of that, and so on.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The error and its causes in one text.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What the innermost of them says: of a chain whose outer ones say only that something failed.
pub fn root(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The first of them that has this type.
pub fn cause<'a, C: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a C> {
    causes(error).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::ports::StoreError;

    #[test]
    fn an_error_tells_and_shows_its_causes() {
        let full = io::Error::new(io::ErrorKind::StorageFull, "the disk is full");
        let error = StoreError::Unavailable {
            reason: "the write failed".into(),
            source: Some(full.into()),
        };
        assert!(chain(&error).ends_with(": the disk is full"), "{}", chain(&error));
        assert_eq!(root(&error), "the disk is full");
        assert_eq!(cause::<io::Error>(&error).unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(cause::<std::fmt::Error>(&error).is_none());
    }
}
