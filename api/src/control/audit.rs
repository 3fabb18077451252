use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::audit::{Action, AuditError, AuditFilter, AuditLog, AuditRecord};
use diogenes_core::keys::KeyId;
use diogenes_core::ports::Cursor;
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, QueryString, page_size};
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};

/// What the handlers of the audit log share.
pub struct AuditArea {
    entrance: Entrance,
    log: AuditLog,
}

impl AuditArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, log: AuditLog) -> Self {
        Self { entrance, log }
    }
}

impl AsRef<Entrance> for AuditArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A change that was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditBody {
    /// When the change was committed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The project that the target belongs to; `default` for what belongs to the installation.
    #[schema(value_type = String)]
    pub project: ProjectId,
    /// Who: the address of the key's holder, or `operator`.
    pub subject: String,
    /// The key that was used; null for the operator.
    #[schema(value_type = Option<String>)]
    pub key: Option<KeyId>,
    /// What was done, such as `key.create`.
    #[schema(value_type = String)]
    pub action: Action,
    /// To what: `key/ID`, `project/ID`, `budget/ID`, `model/NAME`, `route/NAME` or `provider/NAME`.
    pub target: String,
    /// The details, in a few words.
    pub summary: String,
    /// The network address that it came from.
    pub address: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

impl From<AuditRecord> for AuditBody {
    fn from(record: AuditRecord) -> Self {
        Self {
            at: record.at,
            project: record.project,
            subject: record.subject,
            key: record.key,
            action: record.action,
            target: record.target,
            summary: record.summary,
            address: record.address,
            user_agent: record.user_agent,
        }
    }
}

/// A page of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPageBody {
    /// The changes, newest first.
    pub data: Vec<AuditBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAudit {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only changes by this subject.
    subject: Option<String>,
    /// Only changes of this action, such as `key.create`, or of this kind, such as `key.`.
    action: Option<String>,
    /// Only changes of this target, such as `key/3kTMd9XbQ2LpVw7z`.
    target: Option<String>,
    /// Only changes from this time on.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only changes before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Rows of the page, 1 to 500; 50 when absent. A page may be shorter.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List the changes of the control plane, newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(ListAudit), tag = "audit",
    responses((status = 200, body = AuditPageBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::AuditRead>,
    State(area): State<Arc<AuditArea>>,
    QueryString(query): QueryString<ListAudit>,
) -> Result<Json<AuditPageBody>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let filter = AuditFilter {
        subject: query.subject,
        action: query.action,
        target: query.target,
        since: query.since,
        until: query.until,
    };
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.log.list(&by, &project, &filter, limit, cursor).await;
    let page = page.map_err(|error| match &error {
        AuditError::NoProject(_) => {
            ApiError::new(ErrorKind::ProjectNotFound, error.to_string()).param("project")
        }
        AuditError::Filter { field, .. } => {
            ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param(*field)
        }
        AuditError::Store(error) => store_error(error),
    })?;
    Ok(Json(AuditPageBody {
        data: page.records.into_iter().map(AuditBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}
