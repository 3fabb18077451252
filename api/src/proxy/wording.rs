//! The body of a request in the words of a target.

use bytes::Bytes;
use diogenes_core::gateway::ProviderSpec;
use diogenes_core::gateway::translation::{ChatTarget, Untranslatable};

use super::call::{Call, Translated};
use super::destination::Destination;
use super::interpreter::{Interpreter, Understands};
use super::peek;
use super::refusal;
use crate::error::ApiError;

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
        if interpreter.is_idle() { Ok(body) } else { interpreter.request(body, understands(at)) }
    }
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
