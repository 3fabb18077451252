use std::sync::Arc;

use arc_swap::ArcSwap;
use diogenes_core::gateway::catalog::{Catalog, ImportedPrices};
use diogenes_core::gateway::prices::{PriceBook, PriceList, PriceOrigin};

/// The prices by which requests are counted. Imported ones come and go with the catalog.
#[derive(Default)]
pub(super) struct CurrentPrices(ArcSwap<Prices>);

#[derive(Default)]
struct Prices {
    book: Arc<PriceBook>,
    /// The digest of the imported list in it.
    imported: Option<String>,
}

impl CurrentPrices {
    pub(super) fn new(book: PriceBook) -> Self {
        Self(ArcSwap::from_pointee(Prices { book: Arc::new(book), imported: None }))
    }

    #[cfg(test)]
    pub(super) fn set(&self, book: PriceBook) {
        self.0.store(Arc::new(Prices { book: Arc::new(book), imported: None }));
    }

    pub(super) fn book(&self) -> Arc<PriceBook> {
        self.0.load().book.clone()
    }

    /// Whether the book has this imported list.
    pub(super) fn has(&self, imported: Option<&ImportedPrices>) -> bool {
        self.0.load().imported.as_deref() == imported.map(ImportedPrices::digest)
    }

    /// Takes over the list that a catalog names; it has none where `list` is none.
    pub(super) fn publish(&self, catalog: &Catalog, list: Option<&PriceList>) {
        let book = PriceBook::clone(&self.book()).without(PriceOrigin::Imported);
        let named = catalog.prices.as_ref().map(|listed| listed.spec.digest().to_owned());
        let (book, imported) = match (named, list) {
            (Some(named), Some(list)) => {
                (book.with(PriceOrigin::Imported, list.clone()), Some(named))
            }
            (_, None) | (None, _) => (book, None),
        };
        self.0.store(Arc::new(Prices { book: Arc::new(book), imported }));
    }
}
