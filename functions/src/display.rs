//! Errors that Lambda logs.

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
