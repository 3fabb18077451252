//! Labels: which version is in use under which name.

use super::error::{PromptError, PromptProblem};
use super::names::{Label, Selector};
use super::record::{LabelState, Prompt, PromptStatus};
use super::service::{MAX_REASON, Prompts, change};
use super::update::protected;
use crate::audit::{Action, Actor};
use crate::entity::{Entity, StoreExt};
use crate::tenancy::{Allowed, Permission, ProjectId, may};

/// Where a label is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMove {
    pub label: Label,
    /// The version that gets it; none where the label is to go.
    pub to: Option<Selector>,
    /// Where the caller believes it to be, 0 for nowhere: if it stands elsewhere, nothing is written.
    pub from: Option<u32>,
    /// Why.
    pub reason: String,
}

impl Prompts {
    /// Moves a label, or takes it away. A repeat call changes nothing and succeeds.
    pub async fn move_label(
        &self,
        by: &Allowed<may::PromptsWrite>,
        project: &ProjectId,
        name: &str,
        wanted: &LabelMove,
    ) -> Result<Prompt, PromptError> {
        let LabelMove { label, to, from, reason } = wanted;
        PromptProblem::in_text("reason", reason, MAX_REASON)?;
        loop {
            let now = self.clock.now();
            let stored = self.reached(by, project, name).await?;
            let expect = stored.unchanged();
            let mut prompt = stored.value;
            if prompt.status == PromptStatus::Archived {
                return Err(PromptError::Archived(prompt.slug));
            }
            let standing = prompt.labels.get(label).map(|state| state.version);
            if from.is_some_and(|from| from != standing.unwrap_or(0)) {
                let standing = standing.map_or_else(|| "no version".into(), |at| format!("v{at}"));
                let (slug, label) = (prompt.slug, label.clone());
                return Err(PromptError::LabelElsewhere { slug, label, standing });
            }
            let to = match to {
                None => None,
                Some(version) => {
                    let missing = || PromptError::missing(&prompt.slug, version, prompt.latest);
                    Some(prompt.number_of(version).ok_or_else(missing)?)
                }
            };
            if standing == to {
                return Ok(prompt);
            }
            if let Some(split) = prompt.splits.get(label) {
                let (slug, label) = (prompt.slug, label.clone());
                let deployment = split.deployment.clone();
                return Err(PromptError::UnderDeployment { slug, label, deployment });
            }
            let is_protected = prompt.protected_labels.contains(label);
            if is_protected && !by.permissions.contains(Permission::PromptsRelease) {
                return Err(protected(&prompt, label));
            }
            let from = standing.map_or_else(String::new, |from| format!(" from v{from}"));
            let (action, mut summary) = match to {
                Some(to) => (Action::prompt_label(), format!("{label}{from} to v{to}")),
                None => (Action::prompt_unlabel(), format!("{label}{from}")),
            };
            if !reason.is_empty() {
                summary = format!("{summary}: {reason}");
            }
            match to {
                Some(version) => {
                    let (by, reason) = (by.subject.to_string(), reason.clone());
                    let state = LabelState { version, at: now, by, reason };
                    prompt.labels.insert(label.clone(), state);
                }
                None => {
                    prompt.labels.remove(label);
                }
            }
            prompt.updated_at = now;
            prompt.updated_by = by.subject.to_string();
            let audit = change(&prompt, action, summary);
            let writes = [prompt.put(expect)?, audit.write(&Actor::from(by), now)?];
            if self.store.committed(&writes).await? {
                return Ok(prompt);
            }
        }
    }
}
