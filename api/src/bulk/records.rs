//! Records of a listing, a page at a time.

use std::sync::Arc;

use diogenes_core::entity::Entity;
use diogenes_core::entity::StoreExt;
use diogenes_core::ports::{Query, StateStore, StoreError};

/// How many are read at once.
const PAGE: usize = 100;

/// Records in the order of their keys.
pub(crate) struct Records<E> {
    store: Arc<dyn StateStore>,
    /// The page that is read next; none after the last one.
    query: Option<Query>,
    page: std::vec::IntoIter<E>,
}

impl<E: Entity> Records<E> {
    pub(crate) fn of(store: &Arc<dyn StateStore>, mut query: Query) -> Self {
        query.limit = PAGE;
        Self { store: store.clone(), query: Some(query), page: Vec::new().into_iter() }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<E>, StoreError> {
        loop {
            if let Some(record) = self.page.next() {
                return Ok(Some(record));
            }
            let Some(mut query) = self.query.take() else { return Ok(None) };
            let (page, next) = self.store.load_page::<E>(&query).await?;
            self.page = page.into_iter().map(|stored| stored.value).collect::<Vec<_>>().into_iter();
            self.query = next.map(|next| {
                query.cursor = Some(next);
                query
            });
        }
    }
}
