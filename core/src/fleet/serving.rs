//! What a model may want of how it is served.

use serde::{Deserialize, Serialize};

/// What a caller sees while no replica is ready.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdStart {
    /// The request waits; a stream opens at once and carries comments on progress.
    #[default]
    Hold,
    /// 503 `model_warming` with `Retry-After`.
    Reject,
}

/// Which requests are to meet at one replica.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Affinity {
    /// None: the replica with the least to do serves.
    #[default]
    None,
    /// Those that begin alike, as the turns of a conversation do: the replica has computed what
    /// they share, and may still know it.
    Prefix,
}

impl Affinity {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Who serves OpenAI's `/v1/responses`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponsesApi {
    /// The inference server itself.
    #[default]
    Native,
    /// Diogenes, which asks the server for chat completions.
    Translated,
}

impl ResponsesApi {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_native(&self) -> bool {
        *self == Self::Native
    }
}
