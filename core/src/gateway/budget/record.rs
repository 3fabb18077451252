use serde::{Deserialize, Serialize};

use super::{BudgetId, BudgetScope, Cap, Period};
use crate::Timestamp;
use crate::entity::Entity;
use crate::keys::KeyId;
use crate::name::ModelName;
use crate::ports::{Account, Amount, IndexKey, Key, Query, Table};
use crate::tenancy::ProjectId;

/// How much may be used in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Whose requests it counts.
    pub scope: BudgetScope,
    /// How often it starts anew.
    pub period: Period,
    /// How much may be used, and of what.
    pub cap: Cap,
    /// The project that it belongs to: that of its key, or the one that it is for. None for a
    /// route, which belongs to the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Budget {
    /// What a run may cost at most.
    pub fn of_run(id: &str, project: &ProjectId, most: Amount, created_at: Timestamp) -> Self {
        Self {
            scope: BudgetScope::Run(id.to_owned()),
            period: Period::Total,
            cap: Cap::nano_dollars(most),
            project: Some(project.clone()),
            created_at,
            updated_at: created_at,
        }
    }

    /// Its identity.
    pub fn id(&self) -> BudgetId {
        let (scope, unit) = (self.scope.clone(), self.cap.unit());
        BudgetId { scope, unit, period: self.period }
    }

    /// Whether it counts a request of `key` ([`Principal::limit_key`]) in `project`, which may
    /// have named `route`.
    ///
    /// [`Principal::limit_key`]: crate::tenancy::Principal::limit_key
    pub fn counts(&self, key: &KeyId, project: &ProjectId, route: Option<&ModelName>) -> bool {
        match &self.scope {
            BudgetScope::Key(id) => id == key,
            BudgetScope::Project(id) => id == project,
            BudgetScope::Route(name) => Some(name) == route,
            BudgetScope::Run(_) => false,
        }
    }

    /// The account that is charged at `now`: `key#0f3a#month`, of the window that `now` lies in.
    /// Every period has an account of its own, since a day may end together with its month.
    pub fn account(&self, now: Timestamp) -> Account {
        let ends_at = self.period.ends_at(now);
        Account { name: self.account_name(), unit: self.cap.unit(), ends_at }
    }

    pub(super) fn account_name(&self) -> String {
        let (kind, id) = self.scope.parts();
        format!("{kind}#{id}#{}", self.period)
    }

    pub(super) fn key_of(project: Option<&ProjectId>, id: &BudgetId) -> Key {
        let (kind, name) = id.scope.parts();
        let sort = format!("{kind}#{name}#{}#{}", id.unit.as_str(), id.period);
        Key::new(Self::partition(project), sort)
    }

    /// Lists the budgets of a project, or those of routes.
    pub(super) fn of(project: Option<&ProjectId>) -> Query {
        Query::new(Table::Main, Self::partition(project), "")
    }

    /// Lists every budget: those of routes, then those of each project.
    pub(super) fn all() -> Query {
        Query::new(Table::Index, "BUDGETS", "")
    }

    /// The star is not a project's.
    fn partition(project: Option<&ProjectId>) -> String {
        format!("BUDGET#{}", project.map_or("*", ProjectId::as_str))
    }
}

impl Entity for Budget {
    const KIND: &'static str = "budget";

    fn key(&self) -> Key {
        Self::key_of(self.project.as_ref(), &self.id())
    }

    fn index(&self) -> Option<IndexKey> {
        let Key { partition, sort } = self.key();
        Some(IndexKey { partition: "BUDGETS".into(), sort: format!("{partition}#{sort}") })
    }
}
