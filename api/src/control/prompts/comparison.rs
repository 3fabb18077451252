use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::evals::evaluators::similarity_of;
use diogenes_core::prompts::{Comparison, Difference, PromptContent, SimilarityBy};
use diogenes_core::tenancy::{Allowed, Principal, ProjectId, may};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::area::{PromptsArea, prompt_error};
use crate::auth::denied_error;
use crate::control::extract::{Allow, PathOf, QueryString, parse};
use crate::error::{ApiError, ErrorBody, ErrorKind};
use crate::proxy::{AnswerBody, Dialect, InferenceRequest};

/// What is different between two versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComparisonBody {
    pub slug: String,
    /// The number of the one version.
    pub from: u32,
    /// The number of the other one.
    pub to: u32,
    pub diffs: Vec<Difference>,
    /// How alike what they say is, 0 to 1.
    pub semantic_similarity: f64,
    /// `words`: the share of words that both have. `embeddings`: the cosine of their embeddings.
    pub similarity_by: String,
    /// The model of the embeddings.
    pub embedding_model: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct CompareVersions {
    /// The prompt's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// The one version: `v1`, `latest` or a label.
    from: String,
    /// The other version.
    to: String,
    /// A model whose embeddings tell how alike the versions are; the words that they share do when it is
    /// absent. It takes the permission `inference:use`.
    embedding_model: Option<String>,
}

/// Compare two versions of a prompt.
#[utoipa::path(get, path = "/api/v1/prompts/{prompt}/compare", tag = "prompts",
    params(CompareVersions, ("prompt" = String, Path, description = "the prompt's slug or id")),
    responses((status = 200, body = ComparisonBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn compare(
    Allow(by): Allow<may::PromptsRead>,
    State(area): State<Arc<PromptsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<CompareVersions>,
) -> Result<Json<ComparisonBody>, ApiError> {
    let (from, to) = (parse("from", &query.from)?, parse("to", &query.to)?);
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let both = area.prompts.both(&by, &project, &name, &from, &to).await;
    let (from, to) = both.map_err(|error| prompt_error(&error))?;
    let mut comparison = Comparison::of(&from.content, &to.content);
    if let Some(model) = query.embedding_model {
        let alike = area.alike(by.principal(), &model, [&from.content, &to.content]).await?;
        comparison.similarity = alike;
        comparison.by = SimilarityBy::Embeddings(model);
    }
    let (similarity_by, embedding_model) = match comparison.by {
        SimilarityBy::Words => ("words", None),
        SimilarityBy::Embeddings(model) => ("embeddings", Some(model)),
    };
    Ok(Json(ComparisonBody {
        slug: from.slug.to_string(),
        from: from.number,
        to: to.number,
        diffs: comparison.differences,
        semantic_similarity: comparison.similarity,
        similarity_by: similarity_by.into(),
        embedding_model,
    }))
}

impl PromptsArea {
    /// How alike two versions are by the embeddings of a model, which is asked as for any request.
    async fn alike(
        &self,
        by: &Arc<Principal>,
        model: &str,
        both: [&PromptContent; 2],
    ) -> Result<f64, ApiError> {
        let Some(gateway) = &self.gateway else {
            let problem = "models are not asked here; leave `embedding_model` out";
            return Err(ApiError::new(ErrorKind::InvalidRequest, problem).param("embedding_model"));
        };
        let by = Allowed::<may::InferenceUse>::check(by.clone());
        let by = by.map_err(|denied| denied_error(&denied))?;
        let body = json!({"model": model, "input": both.map(text)});
        let request = InferenceRequest {
            id: HeaderValue::from_static("compare-prompts"),
            arrived: Instant::now(),
            dialect: Dialect::Embeddings,
            query: None,
            is_background: false,
            allowance: None,
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        };
        let answer = gateway.walk(by, request).await?;
        let whole = match answer.body {
            AnswerBody::Whole(whole) if answer.status.is_success() => whole,
            AnswerBody::Whole(_) | AnswerBody::Stream(_) => return Err(no_embeddings(model)),
        };
        similarity_of(&whole).ok_or_else(|| no_embeddings(model))
    }
}

fn text(content: &PromptContent) -> String {
    let lines = content
        .messages
        .iter()
        .map(|message| format!("{}: {}", message.role.as_str(), message.content));
    lines.collect::<Vec<_>>().join("\n")
}

fn no_embeddings(model: &str) -> ApiError {
    let problem = format!("model `{model}` gave no embeddings; name one that makes them");
    ApiError::new(ErrorKind::InvalidRequest, problem).param("embedding_model")
}
