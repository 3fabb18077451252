//! Prices, budgets, and the ledger that they are counted in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use diogenes_api::proxy::Purse;
use diogenes_core::gateway::budget::Budgets;
use diogenes_core::gateway::ledger::{StoreLedger, TrancheLedger};
use diogenes_core::gateway::prices::{PriceBook, PriceList};
use diogenes_core::ports::{Clock, Entropy, Ledger, StateStore};

use super::config::Config;

/// How often tranches that nobody needs are given back, and budgets are looked at.
const EVERY: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone)]
pub(super) struct Money {
    pub(super) purse: Arc<Purse>,
    pub(super) ledger: Arc<TrancheLedger>,
    clock: Arc<dyn Clock>,
}

impl Money {
    pub(super) fn open(
        config: &Config,
        store: &Arc<dyn StateStore>,
        clock: &Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Self> {
        let mut prices = PriceBook::embedded().context("the embedded prices")?;
        if let Some(path) = &config.prices {
            let place = || format!("{} (`prices`)", path.display());
            let text = std::fs::read(path).with_context(place)?;
            prices = prices.with(PriceList::parse(&text).with_context(place)?);
        }
        // No other start may have the same name: its tranches would be taken for this one's.
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let process = format!("serve-{:016x}", u64::from_be_bytes(random));
        let stored: Arc<dyn Ledger> = Arc::new(StoreLedger::new(store.clone()));
        let ledger = Arc::new(TrancheLedger::new(stored, process));
        let budgets = Budgets::new(store.clone(), clock.clone());
        let purse =
            Purse::new(budgets, ledger.clone(), prices, config.rate_cards.clone(), clock.clone());
        Ok(Self { purse: Arc::new(purse), ledger, clock: clock.clone() })
    }

    /// Looks after the ledger and the budgets, for ever.
    pub(super) fn spawn(&self) {
        let Self { purse, ledger, clock } = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                if let Err(error) = ledger.tend(clock.now()).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the ledger of budgets could not be looked after; trying again soon"
                    );
                }
                purse.look().await;
            }
        });
    }

    /// Gives back what was set aside and is not used.
    pub(super) async fn close(&self) {
        if let Err(error) = self.ledger.close(self.clock.now()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what budgets had set aside could not be given back; it counts as used"
            );
        }
    }
}
