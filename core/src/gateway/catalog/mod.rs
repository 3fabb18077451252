//! The catalog: the routes and providers of an installation, and what its own models cost.

mod editor;
mod record;

pub use editor::{CatalogEditor, CatalogError, SecretRule};
pub use record::{Catalog, Listed};
