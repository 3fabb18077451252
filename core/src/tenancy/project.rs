use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Allowed, Permission, Principal, ProjectId, may};
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::ports::{
    Clock, Cursor, Expect, IndexKey, Key, Query, StateStore, StoreError, Table, Write,
};

/// The longest description in characters.
const MOST_DESCRIPTION: usize = 200;
/// The cursor after the project `default`, which may have no record.
const AFTER_DEFAULT: &str = "-";

/// What keys and everything made with them belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its id, which never changes.
    pub id: ProjectId,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// When it was created; none for `default`, which always exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Since when its keys are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

impl Project {
    fn key_of(id: &ProjectId) -> Key {
        Key::new(format!("PROJECT#{id}"), "PROJECT")
    }

    /// The project that always exists.
    fn builtin() -> Self {
        Self {
            id: ProjectId::default(),
            description: "everything that was given no other project".into(),
            created_at: None,
            archived_at: None,
        }
    }
}

impl Entity for Project {
    const KIND: &'static str = "project";

    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }

    fn index(&self) -> Option<IndexKey> {
        Some(IndexKey { partition: "PROJECTS".into(), sort: self.id.to_string() })
    }
}

/// Why a project was not read, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is none, or none that concerns the principal.
    #[error("project `{0}` does not exist; list the projects with `diogenes project list`")]
    NotFound(ProjectId),
    /// It takes no new keys, and its keys are refused.
    #[error("the project `{0}` is archived; use another project")]
    Archived(ProjectId),
    /// The id is taken, if only by an archived project.
    #[error("the project `{0}` already exists; choose another id")]
    Exists(ProjectId),
    /// Everything without a project belongs to it.
    #[error("the project `default` cannot be archived")]
    Default,
    /// The description is too long or not printable.
    #[error("`description` must be at most {MOST_DESCRIPTION} printable characters")]
    Description,
    /// The store failed.
    #[error("the projects could not be read or written")]
    Store(#[from] StoreError),
}

/// Creates, lists and archives projects.
#[derive(Clone)]
pub struct Projects {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

/// A page of projects.
#[derive(Debug)]
pub struct ProjectList {
    /// The projects, `default` first, the others by id.
    pub projects: Vec<Project>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

impl Projects {
    /// A service over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Creates a project.
    pub async fn create(
        &self,
        by: &Allowed<may::ProjectsWrite>,
        id: ProjectId,
        description: String,
    ) -> Result<Project, ProjectError> {
        if description.chars().count() > MOST_DESCRIPTION
            || description.chars().any(char::is_control)
        {
            return Err(ProjectError::Description);
        }
        if id.is_default() {
            return Err(ProjectError::Exists(id));
        }
        let now = self.clock.now();
        let project = Project { id, description, created_at: Some(now), archived_at: None };
        let audit = change(&project, Action::project_create());
        let writes = [project.put(Expect::Absent)?, audit.write(&Actor::from(by), now)?];
        if self.store.committed(&writes).await? {
            Ok(project)
        } else {
            Err(ProjectError::Exists(project.id))
        }
    }

    /// A project that the principal reaches.
    pub async fn get(
        &self,
        by: &Allowed<may::ProjectsRead>,
        id: &ProjectId,
    ) -> Result<Project, ProjectError> {
        if !by.reaches(id) {
            return Err(ProjectError::NotFound(id.clone()));
        }
        Ok(find(&*self.store, id).await?.map_or_else(Project::builtin, |stored| stored.value))
    }

    /// One page of the projects that the principal reaches.
    pub async fn list(
        &self,
        by: &Allowed<may::ProjectsRead>,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<ProjectList, ProjectError> {
        if !by.permissions.contains(Permission::ProjectsAny) {
            let own = self.get(by, &by.project).await?;
            return Ok(ProjectList { projects: vec![own], next: None });
        }
        let mut projects = Vec::new();
        let mut query = Query::new(Table::Index, "PROJECTS", "");
        query.limit = limit;
        match cursor {
            None => {
                projects.push(Project::builtin());
                query.limit -= 1;
            }
            Some(cursor) if cursor.as_str() == AFTER_DEFAULT => {}
            Some(cursor) => query.cursor = Some(cursor),
        }
        if query.limit == 0 {
            let next = Some(Cursor::from_caller(AFTER_DEFAULT));
            return Ok(ProjectList { projects, next });
        }
        let (stored, next) = self.store.load_page::<Project>(&query).await?;
        projects.extend(stored.into_iter().map(|project| project.value));
        Ok(ProjectList { projects, next })
    }

    /// Archives a project: its keys are refused from now on, and it takes no new ones. A repeat
    /// call changes nothing and succeeds.
    pub async fn archive(
        &self,
        by: &Allowed<may::ProjectsWrite>,
        id: &ProjectId,
    ) -> Result<Project, ProjectError> {
        loop {
            let Some(stored) = find(&*self.store, id).await? else {
                return Err(ProjectError::Default);
            };
            if stored.value.archived_at.is_some() {
                return Ok(stored.value);
            }
            let now = self.clock.now();
            let archived = Project { archived_at: Some(now), ..stored.value.clone() };
            let audit = change(&archived, Action::project_archive());
            let writes = [archived.put(stored.unchanged())?, audit.write(&Actor::from(by), now)?];
            if self.store.committed(&writes).await? {
                return Ok(archived);
            }
        }
    }
}

/// A change of a project belongs to the project itself, so that its own admins see it, too.
fn change(project: &Project, action: Action) -> Change {
    Change {
        project: project.id.clone(),
        action,
        target: format!("project/{}", project.id),
        summary: project.description.clone(),
    }
}

/// The record of a project; none for `default`.
async fn find(
    store: &dyn StateStore,
    id: &ProjectId,
) -> Result<Option<Stored<Project>>, ProjectError> {
    if id.is_default() {
        return Ok(None);
    }
    let stored = store.load::<Project>(&Project::key_of(id)).await?;
    stored.map(Some).ok_or_else(|| ProjectError::NotFound(id.clone()))
}

/// The ids of all projects, also of archived ones.
pub(crate) async fn all_ids(store: &dyn StateStore) -> Result<Vec<ProjectId>, StoreError> {
    let projects = store.load_all::<Project>(Query::new(Table::Index, "PROJECTS", "")).await?;
    let ids = projects.into_iter().map(|stored| stored.value.id);
    Ok(std::iter::once(ProjectId::default()).chain(ids).collect())
}

/// Fails for a project that does not exist.
pub(crate) async fn exists(store: &dyn StateStore, id: &ProjectId) -> Result<(), ProjectError> {
    find(store, id).await.map(drop)
}

/// Fails for a project that `by` does not reach, or that does not exist: a typo must not look like a
/// project in which there is nothing.
pub(crate) async fn reached(
    store: &dyn StateStore,
    by: &Principal,
    project: &ProjectId,
) -> Result<(), ProjectError> {
    if !by.reaches(project) {
        return Err(ProjectError::NotFound(project.clone()));
    }
    if *project == by.project {
        return Ok(());
    }
    exists(store, project).await
}

/// Finds out whether `project` may be used. The check, if any, keeps a commit from happening
/// after the project was archived.
pub(crate) async fn in_use(
    store: &dyn StateStore,
    id: &ProjectId,
) -> Result<Option<Write>, ProjectError> {
    match find(store, id).await? {
        None => Ok(None),
        Some(stored) if stored.value.archived_at.is_some() => {
            Err(ProjectError::Archived(id.clone()))
        }
        Some(stored) => {
            Ok(Some(Write::Check { key: Project::key_of(id), expect: stored.unchanged() }))
        }
    }
}
