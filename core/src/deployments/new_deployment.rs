use std::collections::BTreeMap;

use super::error::DeploymentError;
use super::strategy::Strategy;
use crate::prompts::{Label, Selector};

/// The longest comment or reason, in characters.
pub const MAX_REASON: usize = 500;
const MOST_METADATA: usize = 20;
const MAX_METADATA_NAME: usize = 64;

/// A deployment that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDeployment {
    /// The prompt's slug or id.
    pub prompt: String,
    pub to_version: Selector,
    pub environment: Label,
    pub strategy: Strategy,
    /// Whether it is approved with its creation, which takes the permission to approve.
    pub skip_approval: bool,
    pub metadata: BTreeMap<String, String>,
}

impl NewDeployment {
    pub(super) fn check(&self) -> Result<(), DeploymentError> {
        self.strategy.check()?;
        if self.metadata.len() > MOST_METADATA || self.metadata.contains_key("") {
            let problem = format!("must be at most {MOST_METADATA}, none without a name");
            return Err(DeploymentError::invalid("metadata", problem));
        }
        self.metadata.iter().try_for_each(|(name, value)| {
            checked_text("metadata", name, MAX_METADATA_NAME)?;
            checked_text("metadata", value, MAX_REASON)
        })
    }
}

/// Refuses a text that is too long, in characters, or not printable.
pub(super) fn checked_text(field: &str, text: &str, most: usize) -> Result<(), DeploymentError> {
    let is_control = |c: char| c.is_control() && c != '\n';
    if text.chars().count() > most || text.chars().any(is_control) {
        let problem = format!("must be at most {most} printable characters");
        return Err(DeploymentError::invalid(field, problem));
    }
    Ok(())
}
