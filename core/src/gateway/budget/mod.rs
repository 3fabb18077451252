//! Budgets: how much a key, a project or a route may use in money or tokens, per day, month or in
//! total.
//!
//! For an attempt, the proxy asks [`charges`] what to reserve in the
//! [`Ledger`](crate::ports::Ledger), [`over_budget`] what a refusal means, and [`amounts`] what to
//! settle. The ledger keeps the caps; a budget only names them.

mod cap;
mod charge;
mod id;
mod period;
mod record;
mod service;
mod wake_up;
mod warned;

pub use cap::{Cap, InvalidCap};
pub use charge::{
    OverBudget, Spending, Unpriced, Verdict, Warning, amounts, charges, over_budget, warning,
};
pub use id::{BudgetId, BudgetScope, InvalidBudgetId};
pub use period::{InvalidPeriod, LatestTime, Period};
pub use record::Budget;
pub use service::{BudgetError, BudgetList, Budgets};
pub use wake_up::WakeUp;
