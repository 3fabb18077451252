//! The API key of a provider, read where it is kept, and again now and then: a key that was
//! replaced there is used without a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diogenes_core::gateway::ProviderKind;
use diogenes_core::ports::SecretSource;
use diogenes_core::secret::{Secret, SecretRef};
use http::header::{AUTHORIZATION, InvalidHeaderValue};
use http::{HeaderName, HeaderValue};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

/// How long a key counts as known.
const KNOWN_FOR: Duration = Duration::from_mins(5);
/// The time between two attempts to read a key that cannot be read, or that was refused.
const BETWEEN_READS: Duration = Duration::from_secs(5);

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// See the module.
pub(super) struct ProviderKey {
    reference: SecretRef,
    kind: ProviderKind,
    source: Arc<dyn SecretSource>,
    known: Mutex<Known>,
    /// One reads for all.
    reading: AsyncMutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    key: Option<Arc<Key>>,
    /// What is wrong with it, where it could not be read.
    problem: Option<String>,
    /// When it is to be read again; none for at once.
    stale_at: Option<Instant>,
    read_at: Option<Instant>,
}

struct Key {
    secret: Secret,
    header: (HeaderName, HeaderValue),
}

impl ProviderKey {
    pub(super) fn new(
        reference: SecretRef,
        kind: ProviderKind,
        source: Arc<dyn SecretSource>,
    ) -> Self {
        let (known, reading) = (Mutex::default(), AsyncMutex::default());
        Self { reference, kind, source, known, reading }
    }

    /// Makes sure that there is a key.
    ///
    /// # Errors
    /// Where it should be, and what is wrong with it there: "the file `/a` does not exist".
    pub(super) async fn ready(&self) -> Result<(), String> {
        if let Some(known) = self.fresh() {
            return known;
        }
        let _reading = self.reading.lock().await;
        if let Some(known) = self.fresh() {
            return known;
        }
        self.read().await;
        self.change(|known| known.standing())
    }

    /// Reads the key, however lately it was read.
    ///
    /// # Errors
    /// As [`ready`](Self::ready), also where a key that was read before serves on.
    pub(super) async fn read_anew(&self) -> Result<(), String> {
        let _reading = self.reading.lock().await;
        self.read().await;
        self.change(|known| known.problem.clone().map_or(Ok(()), Err))
    }

    async fn read(&self) {
        let read = self.source.read(&self.reference).await;
        let read = read.and_then(|secret| {
            let header = header(self.kind, &secret);
            let fits = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
            match header {
                Ok(header) if fits => Ok(Key { secret, header }),
                _ => Err("contains white space or control characters".into()),
            }
        });
        let now = Instant::now();
        self.change(|known| {
            known.read_at = Some(now);
            match read {
                Ok(key) => {
                    *known = Known {
                        key: Some(Arc::new(key)),
                        problem: None,
                        stale_at: Some(now + KNOWN_FOR),
                        read_at: Some(now),
                    };
                }
                Err(problem) => {
                    let reference = &self.reference;
                    tracing::warn!(%reference, problem, "the API key of a provider could not be read");
                    known.stale_at = Some(now + BETWEEN_READS);
                    known.problem = Some(format!("{reference} {problem}"));
                }
            }
        });
    }

    /// The header that shows the key.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        self.change(|known| known.key.as_ref().map(|key| key.header.clone()))
    }

    /// The provider has refused the key: it may have been replaced.
    pub(super) fn refused(&self) {
        self.change(|known| {
            let again = known.read_at.map(|read_at| read_at + BETWEEN_READS);
            known.stale_at = again.min(known.stale_at);
        });
    }

    /// Whether a text gives the key away.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let key = self.change(|known| known.key.clone());
        let is_in =
            |key: &str| !key.is_empty() && memchr::memmem::find(text, key.as_bytes()).is_some();
        key.is_some_and(|key| is_in(key.secret.expose()))
    }

    fn fresh(&self) -> Option<Result<(), String>> {
        self.change(|known| {
            let is_fresh = known.stale_at.is_some_and(|stale_at| Instant::now() < stale_at);
            is_fresh.then(|| known.standing())
        })
    }

    fn change<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    /// A key that was read once is used on while it cannot be read again.
    fn standing(&self) -> Result<(), String> {
        match (&self.key, &self.problem) {
            (None, Some(problem)) => Err(problem.clone()),
            _ => Ok(()),
        }
    }
}

fn header(
    kind: ProviderKind,
    key: &Secret,
) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let (name, value) = match kind {
        ProviderKind::OpenAi => {
            (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.expose())))
        }
        ProviderKind::Anthropic => (X_API_KEY, HeaderValue::from_str(key.expose())),
    };
    let mut value = value?;
    // What is sensitive shows in no log.
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;

    use super::*;

    /// Answers in turn, and then the last again.
    struct Scripted(Mutex<VecDeque<Result<&'static str, &'static str>>>);

    #[async_trait]
    impl SecretSource for Scripted {
        async fn read(&self, _: &SecretRef) -> Result<Secret, String> {
            let mut answers = self.0.lock().unwrap();
            let answer =
                if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
            answer.unwrap().map(Secret::new).map_err(str::to_owned)
        }
    }

    fn key(answers: &[Result<&'static str, &'static str>]) -> ProviderKey {
        let source = Scripted(Mutex::new(answers.iter().copied().collect()));
        ProviderKey::new(SecretRef::Env("KEY".into()), ProviderKind::OpenAi, Arc::new(source))
    }

    fn shown(key: &ProviderKey) -> Option<String> {
        key.header().map(|(_, value)| value.to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_read_again_after_some_minutes_and_the_old_one_serves_while_it_cannot_be() {
        let key = key(&[Ok("one"), Err("is not set"), Ok("two")]);
        key.ready().await.unwrap();
        assert_eq!(shown(&key).unwrap(), "Bearer one");
        tokio::time::advance(KNOWN_FOR).await;
        key.ready().await.unwrap();
        assert_eq!(shown(&key).unwrap(), "Bearer one");
        let problem = "the environment variable `KEY` is not set";
        assert_eq!(key.change(|known| known.problem.clone()).as_deref(), Some(problem));
        key.read_anew().await.unwrap();
        assert_eq!(shown(&key).unwrap(), "Bearer two");
        assert!(key.is_in(b"your key two is wrong") && !key.is_in(b"your key is wrong"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_read_again_but_not_for_every_request() {
        let key = key(&[Ok("one"), Ok("two")]);
        key.ready().await.unwrap();
        key.refused();
        key.ready().await.unwrap();
        assert_eq!(shown(&key).unwrap(), "Bearer one");
        tokio::time::advance(BETWEEN_READS).await;
        key.ready().await.unwrap();
        assert_eq!(shown(&key).unwrap(), "Bearer two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_cannot_be_read_is_told_with_its_place_and_asked_for_again() {
        let key = key(&[Err("is not set"), Ok("a\nb"), Ok("one")]);
        for problem in ["is not set", "contains white space or control characters"] {
            let error = key.ready().await.unwrap_err();
            assert_eq!(error, format!("the environment variable `KEY` {problem}"));
            assert_eq!(key.ready().await.unwrap_err(), error, "it is not read for every request");
            tokio::time::advance(BETWEEN_READS).await;
        }
        key.ready().await.unwrap();
    }
}
