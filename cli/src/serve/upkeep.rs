//! What goes on beside the requests: the file of the store is kept small, and prompts up to date.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use diogenes_backends::sqlite::SqliteStore;
use diogenes_core::gateway::cache::{AnswerShelf, KeptAnswer, StandingAnswer};
use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::prompts::PromptShelf;

/// How often expired records are removed.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// How often the prompts that are in use are looked at.
const PROMPTS_EVERY: Duration = Duration::from_secs(2);

/// The prompts that requests name. Those in use are read in the background, so that no request does.
pub(super) fn prompt_shelf(
    store: &Arc<dyn StateStore>,
    clock: &Arc<dyn Clock>,
) -> Arc<PromptShelf> {
    let shelf = Arc::new(PromptShelf::new(store.clone(), clock.clone()));
    let kept = shelf.clone();
    tokio::spawn(async move {
        let mut is_away = false;
        loop {
            tokio::time::sleep(PROMPTS_EVERY).await;
            let refreshed = kept.refresh().await;
            if let Some(error) = refreshed.as_ref().err().filter(|_| !is_away) {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "prompts cannot be read; their last known versions are served"
                );
            }
            is_away = refreshed.is_err();
        }
    });
    shelf
}

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
