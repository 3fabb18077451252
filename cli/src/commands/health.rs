use diogenes_api::control::ClusterState;
use diogenes_core::fleet::Standing;
use serde::Serialize;
use serde_json::{Value, json};

use super::options::Options;
use super::output;
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind, ServerError};

/// Ask whether the server answers, its version, and how many models are ready.
///
/// The models are counted with a key that may see the cluster; with another one, those that it may
/// use. Without a key the command only tells whether the server answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes health
  diogenes health --url https://x.execute-api.eu-west-1.amazonaws.com/prod
  diogenes health -o json | jq .models.ready
  until diogenes health; do sleep 1; done     # wait for a server that starts

Exits with 4 if nobody answers or the server cannot read its state, and with 5 if it refuses the
key. A model that is asleep or could not be started is none of these; see `diogenes doctor`.")]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    options: Options,
}

/// What the server says of itself.
#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    url: String,
    version: Option<String>,
    models: Option<Models>,
    /// The names that the key may use, where it may not see the cluster.
    usable_models: Option<usize>,
}

/// How many models are in which state.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Models {
    total: usize,
    ready: usize,
    starting: usize,
    asleep: usize,
    stopping: usize,
    failed: usize,
}

pub(super) async fn run(args: HealthArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    client.ping(&["healthz"]).await?;
    let document = client.get(&["api", "v1", "openapi.json"], &[]).await?;
    if !is_diogenes(&document) {
        let url = client.address();
        return Err(Kind::Other
            .because(format!("{url} answers, but does not look like Diogenes; check --url")));
    }
    let mut health = Health {
        status: "ok",
        url: client.address().to_string(),
        version: version_of(&document),
        models: None,
        usable_models: None,
    };
    if client.has_key() {
        match client.get(&["api", "v1", "cluster"], &[]).await {
            Ok(fleet) => health.models = Some(Models::of(&decode(fleet)?)),
            Err(failure) if lacks_scope(&failure) => health.usable_models = usable(&client).await?,
            Err(failure) => return Err(failure),
        }
    }
    let has_key = client.has_key();
    output::result(args.options.output, &json!(health), || Ok(health.details(has_key)))
}

/// Whether this is the description of our API: anybody may answer at an address.
pub(super) fn is_diogenes(document: &Value) -> bool {
    let title = document.pointer("/info/title").and_then(Value::as_str);
    title.is_some_and(|title| title.starts_with("Diogenes"))
}

fn version_of(document: &Value) -> Option<String> {
    document.pointer("/info/version").and_then(Value::as_str).map(str::to_owned)
}

/// How many names the key may use; none if it is not one for requests.
async fn usable(client: &Client) -> Result<Option<usize>, Failure> {
    match client.get(&["v1", "models"], &[]).await {
        Ok(list) => Ok(list.get("data").and_then(Value::as_array).map(Vec::len)),
        Err(failure) if lacks_scope(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether the server knows the key, and does not let it do this.
fn lacks_scope(failure: &Failure) -> bool {
    let error = failure.error.downcast_ref::<ServerError>();
    error.is_some_and(|error| error.code.as_deref() == Some("insufficient_scope"))
}

impl Models {
    fn of(fleet: &ClusterState) -> Self {
        let mut models = Self { total: fleet.data.len(), ..Self::default() };
        for model in &fleet.data {
            let count = match model.standing {
                Standing::Ready => &mut models.ready,
                Standing::Starting => &mut models.starting,
                Standing::Asleep => &mut models.asleep,
                Standing::Stopping => &mut models.stopping,
                Standing::Failed => &mut models.failed,
            };
            *count += 1;
        }
        models
    }

    /// `3: 1 ready, 2 asleep`.
    fn text(&self) -> String {
        let counts = [
            (self.ready, "ready"),
            (self.starting, "starting"),
            (self.asleep, "asleep"),
            (self.stopping, "stopping"),
            (self.failed, "failed"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        match counts.as_slice() {
            [] => "none; add one with `diogenes model apply`".into(),
            counts => format!("{}: {}", self.total, counts.join(", ")),
        }
    }
}

impl Health {
    fn details(&self, has_key: bool) -> String {
        let models = match (&self.models, self.usable_models) {
            (Some(models), _) => models.text(),
            (None, Some(usable)) => {
                format!("{usable} that the key may use; it may not see their state")
            }
            (None, None) if has_key => "not counted, because the key may not see them".into(),
            (None, None) => "not counted, because no API key is set".into(),
        };
        output::details([
            ("server", format!("{} answers", self.url)),
            ("version", self.version.clone().unwrap_or_else(|| "not told".into())),
            ("models", models),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_counted_by_their_state() {
        let fleet = ["ready", "asleep", "asleep", "failed"].map(|standing| {
            json!({"model": "m", "standing": standing, "pinned": false, "held": 0, "in_flight": 0,
                "last_request_at": null, "progress": null, "failure": null, "slots": []})
        });
        let fleet = serde_json::from_value(json!({"data": fleet})).expect("a fleet");
        let models = Models::of(&fleet);
        assert_eq!(models.text(), "4: 1 ready, 2 asleep, 1 failed");
        assert_eq!(
            models,
            Models { total: 4, ready: 1, asleep: 2, failed: 1, ..Models::default() }
        );
    }

    #[test]
    fn only_the_description_of_our_api_is_taken_for_it() {
        let document = json!({"info": {"title": "Diogenes control plane", "version": "0.2.0"}});
        assert_eq!((is_diogenes(&document), version_of(&document)), (true, Some("0.2.0".into())));
        assert!(!is_diogenes(&json!({"info": {"title": "Petstore", "version": "1"}})));
        assert!(!is_diogenes(&json!({})));
    }
}
