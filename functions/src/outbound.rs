//! What jobs need that send requests to the servers of others: the client, the key of webhooks, and
//! the templates that the operator has prepared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_api::jobs::{
    HttpJobs, Template, TemplateSource, TemplateSpec, Templates, TemplatesUnavailable,
    WebhookSigner,
};
use diogenes_api::outbound::{Outbound, OutboundRules};
use diogenes_backends::aws::ssm::{MadeSecrets, ParameterSecrets};
use diogenes_backends::system::OsEntropy;
use diogenes_core::secret::SecretRef;
use lambda_http::Error;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::environment::{BadVariable, optional, required};
use crate::http_functions::ssm;
use crate::start::Base;

/// The longest that a request may take. An invocation takes no new jobs so long before its end.
pub const LONGEST_REQUEST: Duration = Duration::from_mins(5);
/// For how long templates are taken to stand as they were read.
const TEMPLATES_LIFE: Duration = Duration::from_mins(1);

/// The client of `http` jobs and webhooks. It reaches public addresses: within a function loopback is
/// Lambda's own, and link-local addresses give its credentials. The template of the stack opens none;
/// tests do, with this variable.
pub fn http_jobs(base: &Base) -> Result<Arc<HttpJobs>, Error> {
    const ALLOW: &str = "DIOGENES_HTTP_ALLOW";
    let allowed = optional(ALLOW, "")?;
    let allowed: Vec<&str> = allowed.split(',').filter(|rule| !rule.is_empty()).collect();
    let rules = OutboundRules::parse(&allowed)
        .map_err(|error| BadVariable::new(ALLOW, format!("is not usable: {error}")))?;
    let jobs = HttpJobs::new(Outbound::new(rules.fixed())?, base.clock.clone());
    Ok(Arc::new(jobs.with_longest_timeout(LONGEST_REQUEST)))
}

/// What signs webhooks. Its key is an SSM parameter, which is made when it is first needed: a stack
/// cannot make one that is encrypted.
pub fn signer(base: &Base) -> Result<WebhookSigner, BadVariable> {
    const DESCRIPTION: &str = "The secrets of webhooks are derived from it; without it every \
                               project gets another one.";
    let name = format!("/diogenes/{}/webhook-key", required("DIOGENES_DEPLOYMENT")?);
    let parameters = ParameterSecrets::new(ssm(base), name.clone());
    let source = MadeSecrets::new(parameters, Arc::new(OsEntropy), DESCRIPTION);
    Ok(WebhookSigner::kept(Arc::new(source), SecretRef::Ssm(name)))
}

/// The templates that the environment names, if it does.
pub fn templates(base: &Base) -> Result<Arc<dyn TemplateSource>, BadVariable> {
    let name = std::env::var("DIOGENES_JOB_TEMPLATES").unwrap_or_default();
    if name.is_empty() {
        return Ok(Arc::new(Arc::new(Templates::new())));
    }
    let parameters = ParameterSecrets::new(ssm(base), name.clone());
    Ok(Arc::new(ParameterTemplates { parameters, name, known: Mutex::default() }))
}

/// Templates in an SSM parameter, as a JSON object: names, and what `[jobs.templates]` of `serve`
/// takes.
struct ParameterTemplates {
    parameters: ParameterSecrets,
    name: String,
    known: Mutex<Option<(Instant, Arc<Templates>)>>,
}

#[async_trait]
impl TemplateSource for ParameterTemplates {
    async fn templates(&self) -> Result<Arc<Templates>, TemplatesUnavailable> {
        let mut known = self.known.lock().await;
        let is_fresh = |(at, _): &&(Instant, Arc<Templates>)| at.elapsed() < TEMPLATES_LIFE;
        if let Some((_, templates)) = known.as_ref().filter(is_fresh) {
            return Ok(templates.clone());
        }
        let wrong = |problem: String| {
            TemplatesUnavailable(format!("the SSM parameter `{}` {problem}", self.name))
        };
        let text = self.parameters.parameter(&self.name).await.map_err(wrong)?;
        let templates = Arc::new(read(text.expose()).map_err(wrong)?);
        *known = Some((Instant::now(), templates.clone()));
        Ok(templates)
    }
}

fn read(text: &str) -> Result<Templates, String> {
    let specs: BTreeMap<String, TemplateSpec> =
        serde_json::from_str(text).map_err(|error| format!("is not what it must be: {error}"))?;
    let template = |(name, spec)| match Template::new(spec) {
        Ok(template) => Ok((name, template)),
        Err(error) => Err(format!("has a wrong template `{name}`: {error}")),
    };
    specs.into_iter().map(template).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_or_what_is_wrong_is_said() {
        let good = r#"{"ping": {"kind": "http", "arguments": {"url": "https://example.com"},
                       "schema": {"type": "object"}, "timeout": "30s"}}"#;
        assert!(read(good).unwrap().contains_key("ping"));
        for (text, problem) in [
            ("ping", "is not what it must be: expected value"),
            (r#"{"ping": {"kind": "http", "url": "x"}}"#, "unknown field `url`"),
            (r#"{"ping": {"kind": "http", "schema": {"type": 7}}}"#, "has a wrong template `ping`"),
            (r#"{"ping": {"kind": "http", "schema": "ping.json"}}"#, "has a wrong template `ping`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
