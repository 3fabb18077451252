//! Changes of a prompt that make no version: what it is called, whether it is in use, its end.

use super::error::PromptError;
use super::record::{Prompt, PromptPointer, PromptStatus, PromptVersion};
use super::service::{Prompts, change};
use super::update::{PromptUpdate, checked_update, protected};
use crate::audit::{Action, Actor};
use crate::entity::{Entity, StoreExt};
use crate::ports::{Expect, Write};
use crate::tenancy::{Allowed, Permission, ProjectId, may};

/// How many versions are removed at once.
const AT_ONCE: usize = 50;

impl Prompts {
    /// Changes what stands beside the versions. A repeat call changes nothing and succeeds.
    pub async fn update(
        &self,
        by: &Allowed<may::PromptsWrite>,
        project: &ProjectId,
        name: &str,
        update: &PromptUpdate,
    ) -> Result<Prompt, PromptError> {
        checked_update(update)?;
        loop {
            let now = self.clock.now();
            let stored = self.reached(by, project, name).await?;
            let expect = stored.unchanged();
            let mut prompt = stored.value.clone();
            update.apply(by, &mut prompt)?;
            if prompt == stored.value {
                return Ok(prompt);
            }
            let action = match (stored.value.status, prompt.status) {
                (before, PromptStatus::Archived) if before != PromptStatus::Archived => {
                    Action::prompt_archive()
                }
                (PromptStatus::Archived, after) if after != PromptStatus::Archived => {
                    Action::prompt_restore()
                }
                _ => Action::prompt_update(),
            };
            prompt.updated_at = now;
            prompt.updated_by = by.subject.to_string();
            let audit = change(&prompt, action, changed(&stored.value, &prompt));
            let writes = [prompt.put(expect)?, audit.write(&Actor::from(by), now)?];
            if self.store.committed(&writes).await? {
                return Ok(prompt);
            }
        }
    }

    /// Deletes an archived prompt with all its versions. What is deleted cannot be had back.
    pub async fn delete(
        &self,
        by: &Allowed<may::PromptsWrite>,
        project: &ProjectId,
        name: &str,
    ) -> Result<Prompt, PromptError> {
        let prompt = loop {
            let now = self.clock.now();
            let stored = self.reached(by, project, name).await?;
            let prompt = &stored.value;
            if prompt.status != PromptStatus::Archived {
                return Err(PromptError::NotArchived(prompt.slug.clone()));
            }
            let label = prompt.standing_protected();
            if let Some(label) =
                label.filter(|_| !by.permissions.contains(Permission::PromptsRelease))
            {
                return Err(protected(prompt, label));
            }
            let summary = format!("with {} versions", prompt.latest);
            let writes = [
                Write::Delete { key: prompt.key(), expect: stored.unchanged() },
                Write::Delete {
                    key: PromptPointer::key_of(project, &prompt.id),
                    expect: Expect::Any,
                },
                change(prompt, Action::prompt_delete(), summary).write(&Actor::from(by), now)?,
            ];
            if self.store.committed(&writes).await? {
                break stored.value;
            }
        };
        // Nothing leads to them any more; should this be cut short, they are left and harm nobody.
        let mut query = PromptVersion::newest_first(&prompt);
        query.limit = AT_ONCE;
        loop {
            let (versions, next) = self.store.load_page::<PromptVersion>(&query).await?;
            let deletes = versions
                .iter()
                .map(|version| Write::Delete { key: version.value.key(), expect: Expect::Any });
            let deletes: Vec<_> = deletes.collect();
            if !deletes.is_empty() {
                self.store.commit(&deletes).await?;
            }
            match next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(prompt),
            }
        }
    }
}

/// Which fields are not as they were.
fn changed(before: &Prompt, after: &Prompt) -> String {
    let fields = [
        ("name", before.name != after.name),
        ("description", before.description != after.description),
        ("tags", before.tags != after.tags),
        ("metadata", before.metadata != after.metadata),
        ("protected_labels", before.protected_labels != after.protected_labels),
    ];
    let mut changed: Vec<_> =
        fields.into_iter().filter(|(_, is)| *is).map(|(field, _)| field.to_owned()).collect();
    if before.status != after.status {
        changed.push(format!("status {} to {}", before.status, after.status));
    }
    changed.join(", ")
}
