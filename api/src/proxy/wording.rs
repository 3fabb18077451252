//! The body of a request in the words of a target.

use bytes::Bytes;
use diogenes_core::gateway::ProviderSpec;
use diogenes_core::gateway::translation::{ChatTarget, Untranslatable};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::call::{Call, Translated};
use super::destination::Destination;
use super::interpreter::{Interpreter, Understands};
use super::peek;
use super::refusal;
use crate::error::ApiError;

/// The `priority` of requests that wait for others to have their turn: in vLLM lower means earlier,
/// and those that do not say have 0.
const BACKGROUND_PRIORITY: u64 = 1;

impl Call {
    /// The body for a target, and who has translated it.
    pub(super) fn body_for(&self, at: &Destination) -> Result<(Bytes, Interpreter), ApiError> {
        let interpreter = Interpreter::between(self.dialect, at)
            .ok_or_else(|| refusal::no_endpoint(at, self.dialect))?;
        let body = at.with_model(|model| self.body_with(model, at, interpreter));
        Ok((body.map_err(|error| refusal::untranslatable(&error))?, interpreter))
    }

    /// The same, kept for the attempt.
    pub(super) fn translated_for(&self, at: &Destination) -> Result<Translated, ApiError> {
        let (body, _) = self.body_for(at)?;
        Ok(Translated { to: at.clone(), model: at.with_model(str::to_owned), body })
    }

    fn body_with(
        &self,
        model: &str,
        at: &Destination,
        interpreter: Interpreter,
    ) -> Result<Bytes, Untranslatable> {
        let ready = self.translated.as_ref();
        if let Some(ready) = ready.filter(|ready| ready.to.is(at) && ready.model == model) {
            return Ok(ready.body.clone());
        }
        let mut body = self.peek.with_model(&self.body, model);
        if let (Destination::Hosted(hosted), Some(field)) = (at, self.limit_field()) {
            // What a budget has set aside must not be exceeded.
            body = peek::with_field(&body, field, hosted.spec().default_max_tokens);
        }
        if !interpreter.is_idle() {
            body = interpreter.request(body, understands(at))?;
        }
        if self.yields_to_others(at) && !names_priority(&body) {
            body = peek::with_field(&body, "priority", BACKGROUND_PRIORITY);
        }
        Ok(body)
    }

    /// Whether the replica lets the requests of others pass, if it is told.
    fn yields_to_others(&self, at: &Destination) -> bool {
        let Destination::Model(entry) = at else { return false };
        self.is_background && !self.peek.is_form() && entry.view().model.orders_by_priority()
    }
}

fn names_priority(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Fields {
        priority: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Fields>(body).is_ok_and(|fields| fields.priority.is_some())
}

fn understands(at: &Destination) -> Understands {
    match at {
        // Not every model reasons, and one that does not refuses to be told how long.
        Destination::Model(_) => Understands {
            chat: ChatTarget::Engine { reasoning_parser: false },
            max_tokens: ProviderSpec::DEFAULT_MAX_TOKENS,
        },
        Destination::Hosted(hosted) => {
            Understands { chat: ChatTarget::Hosted, max_tokens: hosted.spec().default_max_tokens }
        }
    }
}
