//! The catalog: the routes and providers of an installation, and what its own models cost.

mod editor;
mod error;
mod import;
mod imported;
mod precondition;
mod rate_cards;
mod record;
mod routes;
mod take_over;
mod versions;

pub use editor::{CatalogEditor, SecretRule};
pub use error::CatalogError;
pub use import::load_with_prices;
pub use imported::ImportedPrices;
pub use precondition::{Precondition, Tag};
pub use record::{Catalog, Listed};
