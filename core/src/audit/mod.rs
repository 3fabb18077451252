//! The audit log: who changed what of the control plane, when, and from where.
//!
//! A record is written in the commit of the change it tells of, so there is none without the
//! other. It names no secret. Records expire after [`RETENTION`].

mod log;
mod record;

pub use log::{AuditError, AuditFilter, AuditLog, AuditPage};
pub use record::{Action, Actor, AuditRecord, Change, RETENTION};
