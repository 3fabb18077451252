use std::sync::Arc;

use super::warned::Warned;
use super::{Budget, BudgetId, BudgetScope, Cap, Period, Warning};
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity as _, StoreExt as _};
use crate::keys::{ApiKey, KeyId};
use crate::ports::{Clock, Cursor, Expect, StateStore, StoreError, Write};
use crate::tenancy::{
    Allowed, Denied, Permission, Principal, ProjectError, ProjectId, exists, in_use, may,
};

/// Sets, lists and deletes budgets.
///
/// The budget of a key is set by whoever may do so in its project; those of projects and routes
/// take [`Permission::ProjectsAny`], so that no project raises its own.
#[derive(Clone)]
pub struct Budgets {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

/// A page of budgets.
#[derive(Debug)]
pub struct BudgetList {
    pub budgets: Vec<Budget>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Why a budget was not set, read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// There is no such budget, or it belongs to another project.
    #[error("budget `{0}` does not exist; list budgets with `diogenes budget list`")]
    NotFound(BudgetId),
    /// No key has this id, or it belongs to another project.
    #[error("API key `{0}` does not exist; list keys with `diogenes key list`")]
    NoKey(KeyId),
    /// The key was rotated from another one, which both count as.
    #[error(
        "API key `{key}` has replaced `{first}` and shares its budgets; set those of `{first}`"
    )]
    Replaced { key: KeyId, first: KeyId },
    /// The principal may not set budgets of projects and routes.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The project of the budget.
    #[error(transparent)]
    Project(ProjectError),
    /// The store failed.
    #[error("the budgets could not be read or written")]
    Store(#[from] StoreError),
}

impl From<ProjectError> for BudgetError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Store(error) => Self::Store(error),
            error => Self::Project(error),
        }
    }
}

impl Budgets {
    /// A service over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Sets how much may be used; returns the budget, and whether it is new. The same cap again
    /// changes nothing. What is charged already stands against the new cap too.
    ///
    /// Whether a route exists is for the caller to check.
    pub async fn set(
        &self,
        by: &Allowed<may::BudgetsWrite>,
        scope: BudgetScope,
        period: Period,
        cap: Cap,
    ) -> Result<(Budget, bool), BudgetError> {
        if let BudgetScope::Key(key) = &scope
            && let Some(first) = self.key(by, key).await?.limited_as
        {
            // Its requests count for the budgets of the first one only.
            return Err(BudgetError::Replaced { key: key.clone(), first });
        }
        let id = BudgetId { scope: scope.clone(), unit: cap.unit(), period };
        loop {
            let project = self.owner(by, &scope).await?;
            let in_use = match &project {
                Some(project) => in_use(&*self.store, project).await?,
                None => None,
            };
            let key = Budget::key_of(project.as_ref(), &id);
            let standing = self.store.load::<Budget>(&key).await?;
            let now = self.clock.now();
            let (created_at, expect, summary) = match &standing {
                Some(stored) if stored.value.cap == cap => {
                    return Ok((stored.value.clone(), false));
                }
                Some(stored) => {
                    let summary = format!("from {} to {cap}", stored.value.cap);
                    (stored.value.created_at, stored.unchanged(), summary)
                }
                None => (now, Expect::Absent, cap.to_string()),
            };
            let scope = scope.clone();
            let budget = Budget { scope, period, cap, project, created_at, updated_at: now };
            let audit = change(&budget, Action::budget_set(), summary);
            let mut writes = vec![budget.put(expect)?, audit.write(&Actor::from(by), now)?];
            writes.extend(in_use);
            if self.store.committed(&writes).await? {
                return Ok((budget, standing.is_none()));
            }
            // The budget or its project was changed meanwhile.
        }
    }

    /// A budget that the principal reaches.
    pub async fn get(
        &self,
        by: &Allowed<may::BudgetsRead>,
        id: &BudgetId,
    ) -> Result<Budget, BudgetError> {
        let not_found = || BudgetError::NotFound(id.clone());
        let project = match &id.scope {
            BudgetScope::Key(key) => Some(self.key(by, key).await?.project),
            BudgetScope::Project(project) if by.reaches(project) => Some(project.clone()),
            BudgetScope::Project(project) => {
                return Err(ProjectError::NotFound(project.clone()).into());
            }
            BudgetScope::Route(_) if by.permissions.contains(Permission::ProjectsAny) => None,
            BudgetScope::Route(_) | BudgetScope::Run(_) => return Err(not_found()),
        };
        let stored = self.store.load::<Budget>(&Budget::key_of(project.as_ref(), id)).await?;
        stored.map(|budget| budget.value).ok_or_else(not_found)
    }

    /// One page of the budgets of a project, or of all that the principal reaches.
    pub async fn list(
        &self,
        by: &Allowed<may::BudgetsRead>,
        project: Option<&ProjectId>,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<BudgetList, BudgetError> {
        let mut query = match project {
            Some(project) => {
                if !by.reaches(project) {
                    return Err(ProjectError::NotFound(project.clone()).into());
                }
                // A typo must not look like a project without budgets.
                exists(&*self.store, project).await?;
                Budget::of(Some(project))
            }
            None if by.permissions.contains(Permission::ProjectsAny) => Budget::all(),
            None => Budget::of(Some(&by.project)),
        };
        (query.limit, query.cursor) = (limit, cursor);
        let (stored, next) = self.store.load_page::<Budget>(&query).await?;
        Ok(BudgetList { budgets: stored.into_iter().map(|budget| budget.value).collect(), next })
    }

    /// Every budget that may [count](Budget::counts) a request in a project, or those of routes. For
    /// the proxy, which keeps them for a few seconds.
    pub async fn concerning(
        &self,
        project: Option<&ProjectId>,
    ) -> Result<Vec<Budget>, BudgetError> {
        let budgets = self.store.load_all::<Budget>(Budget::of(project)).await?;
        Ok(budgets.into_iter().map(|budget| budget.value).collect())
    }

    /// Deletes a budget: nothing is refused because of it any more. What was charged stays in the
    /// ledger, and counts if the budget is set again within its period.
    pub async fn delete(
        &self,
        by: &Allowed<may::BudgetsWrite>,
        id: &BudgetId,
    ) -> Result<Budget, BudgetError> {
        loop {
            let project = self.owner(by, &id.scope).await?;
            let key = Budget::key_of(project.as_ref(), id);
            let Some(stored) = self.store.load::<Budget>(&key).await? else {
                return Err(BudgetError::NotFound(id.clone()));
            };
            let summary = format!("was {}", stored.value.cap);
            let audit = change(&stored.value, Action::budget_delete(), summary);
            let delete = Write::Delete { key, expect: stored.unchanged() };
            let writes = [delete, audit.write(&Actor::from(by), self.clock.now())?];
            if self.store.committed(&writes).await? {
                return Ok(stored.value);
            }
        }
    }

    /// Whether a warning is the first of its budget in this window and under this cap, among all
    /// processes and for good: nobody is told twice.
    pub async fn is_first(&self, warning: &Warning) -> Result<bool, BudgetError> {
        match self.store.save(Warned::new(warning), Expect::Absent).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A key of another project is as good as none.
    async fn key(&self, by: &Principal, id: &KeyId) -> Result<ApiKey, BudgetError> {
        let stored = self.store.load::<ApiKey>(&ApiKey::key_of(id)).await?;
        let key = stored.map(|stored| stored.value).filter(|key| by.reaches(&key.project));
        key.ok_or_else(|| BudgetError::NoKey(id.clone()))
    }

    /// The project that a budget belongs to, if the principal may set it.
    async fn owner(
        &self,
        by: &Principal,
        scope: &BudgetScope,
    ) -> Result<Option<ProjectId>, BudgetError> {
        let everywhere = || {
            let permission = Permission::ProjectsAny;
            let denied = || Denied { key: by.key.clone(), permission };
            by.permissions.contains(permission).then_some(()).ok_or_else(denied)
        };
        match scope {
            BudgetScope::Key(id) => Ok(Some(self.key(by, id).await?.project)),
            BudgetScope::Project(id) => {
                if !by.reaches(id) {
                    return Err(ProjectError::NotFound(id.clone()).into());
                }
                everywhere()?;
                Ok(Some(id.clone()))
            }
            BudgetScope::Route(_) | BudgetScope::Run(_) => {
                everywhere()?;
                Ok(None)
            }
        }
    }
}

fn change(budget: &Budget, action: Action, summary: String) -> Change {
    Change {
        project: budget.project.clone().unwrap_or_default(),
        action,
        target: format!("budget/{}", budget.id()),
        summary,
    }
}
