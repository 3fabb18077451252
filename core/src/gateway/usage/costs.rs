use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Usages;
use crate::days::{Days, InvalidDays, day_of};
use crate::entity::StoreExt as _;
use crate::fleet::{InstanceDay, InstanceTime, Price};
use crate::name::ModelName;
use crate::ports::{Amount, Clock, StateStore, StoreError};
use crate::tenancy::{Allowed, Permission, may};

/// Reads what the fleet has cost.
#[derive(Clone)]
pub struct FleetCosts {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    usages: Usages,
}

/// What the rows of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostBy {
    Day,
    InstanceType,
    #[default]
    Model,
}

/// What instances have cost between two days, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostReport {
    pub days: Days,
    pub by: CostBy,
    /// Days in order; others by cost, then by time, highest first.
    pub rows: Vec<CostRow>,
    pub total: CostRow,
}

/// A day, an instance type or a model; or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CostRow {
    /// Empty for the total.
    pub name: String,
    pub time: InstanceTime,
    pub cost: Costs,
    /// Of the time, what has no price.
    pub unpriced_ms: u64,
    /// What callers were charged for the models; none where that is not told.
    pub charged: Option<Amount>,
}

/// What an instance's time cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    pub boot: Amount,
    pub in_use: Amount,
    pub idle: Amount,
}

impl Costs {
    /// The costs of a time at a price, each rounded down to the nano-dollar.
    pub fn of(time: &InstanceTime, price_per_hour: Price) -> Self {
        let of = |ms: u64| {
            let nano = u128::from(ms) * u128::from(price_per_hour.nano_dollars()) / 3_600_000;
            Amount::saturating(u64::try_from(nano).unwrap_or(u64::MAX))
        };
        Self { boot: of(time.boot_ms), in_use: of(time.use_ms), idle: of(time.idle_ms) }
    }

    /// All of them.
    pub fn total(&self) -> Amount {
        self.boot.plus(self.in_use).plus(self.idle)
    }

    fn add(&mut self, other: &Self) {
        self.boot = self.boot.plus(other.boot);
        self.in_use = self.in_use.plus(other.in_use);
        self.idle = self.idle.plus(other.idle);
    }
}

impl CostRow {
    fn add(&mut self, record: &InstanceDay) {
        self.time.add(&record.time);
        match record.price_per_hour {
            Some(price) => self.cost.add(&Costs::of(&record.time, price)),
            None => {
                self.unpriced_ms = self.unpriced_ms.saturating_add(record.time.total_ms());
            }
        }
    }

    fn charge(&mut self, amount: Amount) {
        self.charged = Some(self.charged.unwrap_or_default().plus(amount));
    }
}

impl FleetCosts {
    /// A service over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, usages: Usages) -> Self {
        Self { store, clock, usages }
    }

    /// Adds up what instances have cost, and what callers were charged for their models, if the
    /// caller may see that of every project.
    pub async fn report(
        &self,
        by: &Allowed<may::ClusterRead>,
        (from, to): (Option<Date>, Option<Date>),
        rows: CostBy,
    ) -> Result<CostReport, CostError> {
        let days = Days::between(from, to, day_of(self.clock.now()))?;
        let mut found = BTreeMap::<String, CostRow>::new();
        let mut total = CostRow::default();
        let mut models = BTreeSet::new();
        for record in self.read(&days).await? {
            total.add(&record);
            let name = match rows {
                CostBy::Day => record.day.to_string(),
                CostBy::InstanceType => record.label.clone(),
                CostBy::Model => record.model.to_string(),
            };
            found.entry(name).or_default().add(&record);
            models.insert(record.model);
        }
        let sees_charges = [Permission::UsageRead, Permission::ProjectsAny]
            .into_iter()
            .all(|permission| by.permissions.contains(permission));
        if sees_charges {
            self.charge(&days, rows, &models, (&mut found, &mut total)).await?;
        }
        let mut list: Vec<CostRow> =
            found.into_iter().map(|(name, row)| CostRow { name, ..row }).collect();
        if rows != CostBy::Day {
            list.sort_by_key(|row| std::cmp::Reverse((row.cost.total(), row.time.total_ms())));
        }
        Ok(CostReport { days, by: rows, rows: list, total })
    }

    async fn read(&self, days: &Days) -> Result<Vec<InstanceDay>, StoreError> {
        let mut records = Vec::new();
        for prefix in days.prefixes() {
            let found = self.store.load_all::<InstanceDay>(InstanceDay::of_days(&prefix)).await?;
            records.extend(found.into_iter().map(|stored| stored.value));
        }
        Ok(records)
    }

    async fn charge(
        &self,
        days: &Days,
        rows: CostBy,
        models: &BTreeSet<ModelName>,
        (found, total): (&mut BTreeMap<String, CostRow>, &mut CostRow),
    ) -> Result<(), StoreError> {
        total.charged = Some(Amount::default());
        for row in found.values_mut().filter(|_| rows != CostBy::InstanceType) {
            row.charged = Some(Amount::default());
        }
        for ((model, day), amount) in self.usages.charges(days).await? {
            if !models.contains(&model) {
                continue;
            }
            total.charge(amount);
            let name = match rows {
                CostBy::Day => day.to_string(),
                CostBy::Model => model.to_string(),
                // Which of them has answered is not kept.
                CostBy::InstanceType => continue,
            };
            found.entry(name).or_default().charge(amount);
        }
        Ok(())
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    #[error(transparent)]
    Days(#[from] InvalidDays),
    #[error("the costs could not be read")]
    Store(#[from] StoreError),
}

impl CostBy {
    pub const ALL: [Self; 3] = [Self::Day, Self::InstanceType, Self::Model];

    /// The name in JSON and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::InstanceType => "instance_type",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for CostBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CostBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|by| format!("`{by}`")).join(", ");
            format!("must be one of {names}")
        })
    }
}
