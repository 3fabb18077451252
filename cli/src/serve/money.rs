//! Prices, budgets and the ledger that they are counted in, and the book of what was used.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use diogenes_api::proxy::{Dispatcher, Purse};
use diogenes_core::gateway::budget::Budgets;
use diogenes_core::gateway::ledger::{StoreLedger, TrancheLedger};
use diogenes_core::gateway::prices::{PriceBook, PriceList, PriceOrigin};
use diogenes_core::gateway::usage::UsageBook;
use diogenes_core::ports::{Clock, Entropy, Ledger, StateStore};

use super::config::Config;

/// How often tranches that nobody needs are given back, and budgets are looked at.
const EVERY: Duration = Duration::from_secs(30);

/// How often what was used is written. A kill loses no more than this.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone)]
pub(super) struct Money {
    pub(super) purse: Arc<Purse>,
    pub(super) ledger: Arc<TrancheLedger>,
    pub(super) usage: Arc<UsageBook>,
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

/// The prices of the release, and those of the file before them.
pub(super) fn prices(config: &Config) -> anyhow::Result<PriceBook> {
    let prices = PriceBook::embedded().context("the embedded prices")?;
    let Some(path) = &config.prices else { return Ok(prices) };
    let place = || format!("{} (`prices`)", path.display());
    let text = std::fs::read(path).with_context(place)?;
    Ok(prices.with(PriceOrigin::File, PriceList::parse(&text).with_context(place)?))
}

impl Money {
    pub(super) fn open(
        dispatcher: &Arc<Dispatcher>,
        store: &Arc<dyn StateStore>,
        clock: &Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Self {
        // No other start may have the same name: its tranches would be taken for this one's.
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let process = format!("serve-{:016x}", u64::from_be_bytes(random));
        let stored: Arc<dyn Ledger> = Arc::new(StoreLedger::new(store.clone()));
        let usage = Arc::new(UsageBook::new(process.clone()));
        let ledger = Arc::new(TrancheLedger::new(stored, process));
        let budgets = Budgets::new(store.clone(), clock.clone());
        let purse = Purse::new(budgets, ledger.clone(), dispatcher.clone(), clock.clone());
        let (purse, store, clock) = (Arc::new(purse), store.clone(), clock.clone());
        Self { purse, ledger, usage, store, clock }
    }

    /// Looks after the ledger, the budgets and the book, for ever.
    pub(super) fn spawn(&self) {
        let Self { purse, ledger, usage, store, clock } = self.clone();
        let now = clock.clone();
        tokio::spawn(async move {
            let mut is_behind = false;
            loop {
                tokio::time::sleep(FLUSH_EVERY).await;
                let flushed = usage.flush(&*store, now.now()).await;
                match &flushed {
                    Ok(()) if is_behind => tracing::info!("usage is being written again"),
                    Err(error) if !is_behind => tracing::warn!(
                        error = error as &dyn std::error::Error,
                        "usage could not be written; it is kept in memory, and written as soon as that works"
                    ),
                    Ok(()) | Err(_) => {}
                }
                is_behind = flushed.is_err();
            }
        });
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                if let Err(error) = ledger.tend(clock.now()).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the ledger of budgets could not be maintained; trying again soon"
                    );
                }
                purse.look().await;
            }
        });
    }

    /// Gives back what was set aside and is not used, and writes what was.
    pub(super) async fn close(&self) {
        if let Err(error) = self.usage.flush(&*self.store, self.clock.now()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the usage of the last seconds could not be written and will be missing from \
                 reports"
            );
        }
        if let Err(error) = self.ledger.close(self.clock.now()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what was set aside from budgets could not be returned; it counts as used"
            );
        }
    }
}
