//! What keeps the file of the store small.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use diogenes_backends::sqlite::SqliteStore;
use diogenes_core::gateway::cache::{AnswerShelf, KeptAnswer, StandingAnswer};

/// How often expired records are removed.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// Removes expired records now and then; they count as absent long before.
pub(super) fn spawn_sweeper(store: Arc<SqliteStore>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = store.sweep().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "expired records were not removed"
                );
            }
        }
    });
}

/// The place of kept answers, whose room is bounded, with those that are there.
pub(super) async fn answer_shelf(store: &Arc<SqliteStore>) -> anyhow::Result<Arc<AnswerShelf>> {
    let sizes = store.sizes(KeptAnswer::PREFIX).await.context("cannot read the kept answers")?;
    let standing = sizes.into_iter().filter_map(|item| {
        let (key, bytes, expires_at) = (item.key, item.bytes, item.expires_at?);
        Some(StandingAnswer { key, bytes, expires_at })
    });
    Ok(Arc::new(AnswerShelf::bounded(store.clone(), standing)))
}
