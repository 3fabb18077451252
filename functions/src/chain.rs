//! Errors as one text.

/// An error with its causes; Lambda logs only what the error says itself.
#[cfg(any(feature = "authorizer", feature = "orchestrator"))]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `Debug` that says what `Display` says: the runtime logs what a handler returns by its `Debug`,
/// and so does Rust what `main` returns.
macro_rules! debug_as_display {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, out)
            }
        }
    };
}
pub(crate) use debug_as_display;
