//! Workers: what takes jobs from their queues and runs them in this process.

mod bell;
mod command;
mod handler;
mod http;
mod kinds;
mod metrics;
mod source;
mod templates;
mod webhook;
mod worker;

pub use bell::Bell;
pub use command::{CommandArguments, CommandKind, CommandSpec, Commands, LONGEST_KILL_GRACE};
pub use handler::{Ended, Handler, Stop, Work};
pub use http::{HttpArguments, HttpJobs};
pub use kinds::{BadArguments, Draft, Kind, Kinds, read};
pub use metrics::{AttemptEnd, AttemptRecord, JobMetrics};
pub use source::{AGAIN, Attempt, EVERY, Found, LocalJobs, Room, Source};
pub use templates::{
    InvalidSchema, Template, TemplateSource, TemplateSpec, Templates, TemplatesUnavailable,
};
pub use webhook::{NoWebhookKey, WebhookJobs, WebhookSigner};
pub use worker::{GRACE, Lane, Stint, Worker};

#[cfg(test)]
mod tests;
