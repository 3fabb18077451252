//! The catalog: the routes and providers of an installation, and what its own models cost.

mod editor;
mod error;
mod rate_cards;
mod record;
mod versions;

pub use editor::{CatalogEditor, SecretRule};
pub use error::CatalogError;
pub use record::{Catalog, Listed};
