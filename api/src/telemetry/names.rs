//! What OpenTelemetry calls things.

use diogenes_core::gateway::ProviderKind;
use diogenes_core::gateway::record::Host;

/// Who answers where no provider does.
const OURSELVES: &str = "diogenes";

/// `gen_ai.operation.name` of an endpoint. What the conventions have no name for is called as the
/// endpoint is.
pub(super) fn operation(endpoint: &str) -> &'static str {
    match endpoint {
        "/v1/chat/completions" | "/v1/messages" | "/v1/responses" => "chat",
        "/v1/completions" => "text_completion",
        "/v1/embeddings" => EMBEDDINGS,
        "/v1/messages/count_tokens" => "count_tokens",
        "/v1/tokenize" => "tokenize",
        "/v1/detokenize" => "detokenize",
        "/v1/rerank" => "rerank",
        "/v1/score" => "score",
        "/v1/audio/transcriptions" => "transcription",
        "/v1/audio/translations" => "translation",
        "/v1/images/generations" => "image_generation",
        "/v1/images/edits" => "image_edit",
        _ => "unknown",
    }
}

pub(super) const EMBEDDINGS: &str = "embeddings";

/// `gen_ai.provider.name` of whoever answers. For those that the conventions know it is their name
/// there; another one is called as it is registered.
pub(super) fn provider(host: Option<&Host>) -> &str {
    const KNOWN: [(&str, &str); 9] = [
        ("api.openai.com", "openai"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "x_ai"),
        ("api.perplexity.ai", "perplexity"),
        ("api.moonshot.ai", "moonshot_ai"),
        ("api.cohere.com", "cohere"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
    ];
    let Some(Host { name, kind, authority }) = host else { return OURSELVES };
    let known = KNOWN.iter().find(|(host, _)| host == authority);
    match (kind, known) {
        (ProviderKind::Anthropic, _) => "anthropic",
        (ProviderKind::OpenAi, Some((_, name))) => name,
        (ProviderKind::OpenAi, None) if authority.ends_with(".openai.azure.com") => {
            "azure.ai.openai"
        }
        (ProviderKind::OpenAi, None) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Dialect;

    #[test]
    fn every_endpoint_has_a_name() {
        for dialect in Dialect::ALL {
            assert_ne!(operation(dialect.path()), "unknown", "{dialect:?}");
        }
    }

    #[test]
    fn a_provider_has_the_name_that_the_conventions_have_for_it() {
        for (kind, authority, expected) in [
            (ProviderKind::OpenAi, "api.openai.com", "openai"),
            (ProviderKind::OpenAi, "mine.openai.azure.com", "azure.ai.openai"),
            (ProviderKind::OpenAi, "gpu.example.com:8000", "mine"),
            (ProviderKind::Anthropic, "api.anthropic.com", "anthropic"),
        ] {
            let host = Host { name: "mine".into(), kind, authority: authority.into() };
            assert_eq!(provider(Some(&host)), expected);
        }
        assert_eq!(provider(None), "diogenes");
    }
}
