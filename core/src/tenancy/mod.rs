//! Who may do what where: projects, permissions, and the principal of a request.
//!
//! A [`Principal`] acts in one project. What it may do is a set of [`Permission`]s, expanded from
//! the scopes of its key by the table in [`Scope::permissions`]. Code that does something on a
//! principal's behalf asks for an [`Allowed`] of the permission that this takes; it cannot be had
//! without the check.

mod allowed;
mod permission;
mod principal;
mod project;
mod project_id;
mod scope;

pub use allowed::{Allowed, Denied, Origin};
pub use permission::{Needs, Permission, Permissions, Reach, may};
pub use principal::{Principal, Subject};
pub use project::{Project, ProjectError, ProjectList, Projects};
pub(crate) use project::{all_ids, exists, in_use, reached};
pub use project_id::{InvalidProjectId, ProjectId};
pub use scope::Scope;
pub(crate) use scope::known as known_scopes;
