use std::collections::{BTreeMap, BTreeSet};

use diogenes_core::Timestamp;
use diogenes_core::prompts::{
    DefaultConfig, Difference, Label, NewVersion, Prompt, PromptContent, PromptMessage,
    PromptStatus, PromptUpdate, PromptVersion, Variable,
};
use diogenes_core::tenancy::ProjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A version that is wanted, and what is to be changed of its prompt.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushPrompt {
    /// What the prompt is called; its slug when it is new and this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The messages that a request begins with, each a template.
    pub messages: Vec<PromptMessage>,
    /// What may stand in the templates.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// The model or route for requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Parameters for requests that do not say otherwise.
    #[serde(default)]
    pub default_config: DefaultConfig,
    /// Tools in the form of Chat Completions, for requests that bring none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub tools: Vec<Value>,
    /// What is new in this version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_description: String,
    /// The newest version that the caller knows of, 0 for none: if there is a newer one, nothing is
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

impl From<PushPrompt> for NewVersion {
    fn from(push: PushPrompt) -> Self {
        Self {
            content: PromptContent {
                messages: push.messages,
                variables: push.variables,
                model: push.model,
                default_config: push.default_config,
                tools: push.tools,
            },
            change_description: push.change_description,
            update: PromptUpdate {
                name: push.name,
                description: push.description,
                tags: push.tags,
                metadata: push.metadata,
                ..PromptUpdate::default()
            },
            after: push.after,
        }
    }
}

/// What is to be changed of a prompt. What is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePrompt {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// `archived` takes the prompt out of use, any other one brings it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PromptStatus>,
    /// The labels that only `prompts:release` moves; to change them takes it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub protected_labels: Option<BTreeSet<Label>>,
}

impl From<UpdatePrompt> for PromptUpdate {
    fn from(update: UpdatePrompt) -> Self {
        Self {
            name: update.name,
            description: update.description,
            tags: update.tags,
            metadata: update.metadata,
            status: update.status,
            protected_labels: update.protected_labels,
        }
    }
}

/// A prompt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PromptBody {
    pub id: String,
    pub slug: String,
    #[schema(value_type = String)]
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub tags: BTreeSet<String>,
    pub metadata: BTreeMap<String, String>,
    pub status: PromptStatus,
    /// The number of its newest version.
    pub version: u32,
    /// Where its labels stand.
    pub labels: BTreeMap<String, LabelBody>,
    /// The labels that only `prompts:release` moves.
    #[schema(value_type = Vec<String>)]
    pub protected_labels: BTreeSet<Label>,
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    pub updated_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Where a label stands, and who put it there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LabelBody {
    pub version: u32,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub by: String,
    /// Why.
    pub reason: String,
}

impl From<Prompt> for PromptBody {
    fn from(prompt: Prompt) -> Self {
        let labels = prompt.labels.into_iter().map(|(label, state)| {
            let body = LabelBody {
                version: state.version,
                at: state.at,
                by: state.by,
                reason: state.reason,
            };
            (label.to_string(), body)
        });
        Self {
            id: prompt.id.to_string(),
            slug: prompt.slug.to_string(),
            project: prompt.project,
            name: prompt.name,
            description: prompt.description,
            tags: prompt.tags,
            metadata: prompt.metadata,
            status: prompt.status,
            version: prompt.latest,
            labels: labels.collect(),
            protected_labels: prompt.protected_labels,
            created_by: prompt.created_by,
            created_at: prompt.created_at,
            updated_by: prompt.updated_by,
            updated_at: prompt.updated_at,
        }
    }
}

/// A page of prompts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PromptList {
    pub data: Vec<PromptBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

/// One version of a prompt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PromptVersionBody {
    pub slug: String,
    /// 1, 2, …
    pub version: u32,
    /// The labels that stand at it.
    pub labels: Vec<String>,
    pub messages: Vec<PromptMessage>,
    pub variables: Vec<Variable>,
    pub model: Option<String>,
    pub default_config: DefaultConfig,
    #[schema(value_type = Vec<Object>)]
    pub tools: Vec<Value>,
    pub change_description: String,
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl PromptVersionBody {
    pub(super) fn of(prompt: &Prompt, version: PromptVersion) -> Self {
        let PromptVersion { number, content, change_description, created_by, created_at, .. } =
            version;
        Self {
            slug: prompt.slug.to_string(),
            version: number,
            labels: prompt.labels_of(number).map(ToString::to_string).collect(),
            messages: content.messages,
            variables: content.variables,
            model: content.model,
            default_config: content.default_config,
            tools: content.tools,
            change_description,
            created_by,
            created_at,
        }
    }
}

/// What came of a push.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PushedPrompt {
    pub prompt: PromptBody,
    pub version: PromptVersionBody,
    /// Whether the version is new. If not, the newest one says the same as what was pushed.
    pub is_new: bool,
    /// What is different from the version before it.
    pub diffs: Vec<Difference>,
    /// How alike the two are, 0 to 1; null without a version before it.
    pub semantic_similarity: Option<f64>,
}
