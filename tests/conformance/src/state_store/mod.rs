//! The promises of [`StateStore`].

pub mod additions;
pub mod counters;
pub mod expectations;
pub mod expiry;
pub mod index;
pub mod items;
pub mod limits;
pub mod listing;
pub mod paging;
pub mod races;
mod support;

pub(crate) use support::race;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use diogenes_core::ports::StateStore;
use diogenes_core::testing::ManualClock;

/// A store for one check.
pub struct Fixture {
    store: Arc<dyn StateStore>,
    clock: Arc<ManualClock>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// An empty store whose items expire by `clock`.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<ManualClock>) -> Self {
        Self { store, clock, _keep: Box::new(()) }
    }

    /// Keeps what the store stands on, such as a temporary directory, until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    /// A check that no suite names would never run.
    #[test]
    fn every_check_is_in_the_suite() {
        let suite = include_str!("../suite.rs");
        for (area, source) in [
            ("additions", include_str!("additions.rs")),
            ("counters", include_str!("counters.rs")),
            ("expectations", include_str!("expectations.rs")),
            ("expiry", include_str!("expiry.rs")),
            ("index", include_str!("index.rs")),
            ("items", include_str!("items.rs")),
            ("limits", include_str!("limits.rs")),
            ("listing", include_str!("listing.rs")),
            ("paging", include_str!("paging.rs")),
            ("races", include_str!("races.rs")),
        ] {
            let (_, listed) = suite.split_once(&format!("{area} {{")).unwrap();
            let (listed, _) = listed.split_once('}').unwrap();
            let listed: Vec<_> = listed.split(',').map(str::trim).collect();
            for line in source.lines() {
                let Some(rest) = line.strip_prefix("pub async fn ") else {
                    continue;
                };
                let (name, _) = rest.split_once('(').unwrap();
                assert!(listed.contains(&name), "{area}::{name} is in no suite");
            }
        }
    }
}
