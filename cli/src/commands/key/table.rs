use std::collections::BTreeSet;

use diogenes_api::control::{CreateKey, CreatedKey, KeyBody, KeyPage, RotateKey};
use diogenes_backends::system::SystemClock;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::Model;
use diogenes_core::keys::{ApiKey, KeyError, KeyId, NewKey, PlainKey};
use diogenes_core::name::ModelName;
use diogenes_core::ports::Clock;
use diogenes_core::tenancy::{Allowed, ProjectError, ProjectId};
use serde::Serialize;
use serde_json::Value;

use crate::aws::{DeployedTable, DeploymentArgs, Problem};
use crate::exit::{Failure, Kind};

/// Rows of one read.
const PAGE: usize = 500;

/// Keys straight in the table of a deployment: the way to its first one. Answers are the API's.
#[derive(Debug)]
pub(super) struct TableKeys {
    table: DeployedTable,
    verbose: bool,
}

impl TableKeys {
    /// Those of the deployment that the flags name.
    pub(super) async fn find(args: &DeploymentArgs, verbose: bool) -> Result<Self, Failure> {
        let table =
            DeployedTable::find(args).await.map_err(|problem| problem.into_failure(verbose))?;
        Ok(Self { table, verbose })
    }

    pub(super) async fn create(&self, request: CreateKey) -> Result<Value, Failure> {
        let now = SystemClock.now();
        let expires_at = match request.expires_in {
            Some(after) => Some(
                now.checked_add(after)
                    .map_err(|_| Kind::Config.because("`expires-in` is too long"))?,
            ),
            None => request.expires_at,
        };
        let models = match request.models {
            Some(names) => Some(self.registered(names).await?),
            None => None,
        };
        let new = NewKey {
            project: request.project.unwrap_or_default(),
            email: request.email,
            name: request.name,
            scopes: request.scopes,
            models,
            expires_at,
            limits: request.limits,
            egress: request.egress,
            weight: request.weight,
        };
        let (record, plain) = self
            .table
            .keys()
            .issue(&Allowed::operator(), new)
            .await
            .map_err(|error| self.failure(error))?;
        created(record, &plain)
    }

    pub(super) async fn list(
        &self,
        project: Option<&ProjectId>,
        email: Option<&str>,
    ) -> Result<Value, Failure> {
        let project = project.cloned().unwrap_or_default();
        let (mut data, mut cursor) = (Vec::new(), None);
        loop {
            let page =
                self.table.keys().list(&Allowed::operator(), &project, email, PAGE, cursor).await;
            let page = page.map_err(|error| self.failure(error))?;
            data.extend(page.keys.into_iter().map(|key| KeyBody::new(key, SystemClock.now())));
            cursor = page.next;
            if cursor.is_none() {
                return value(&KeyPage { data, next_cursor: None });
            }
        }
    }

    pub(super) async fn revoke(&self, id: &str) -> Result<Value, Failure> {
        let revoked = self.table.keys().revoke(&Allowed::operator(), &KeyId::from_caller(id)).await;
        let revoked = revoked.map_err(|error| self.failure(error))?;
        value(&KeyBody::new(revoked, SystemClock.now()))
    }

    pub(super) async fn rotate(&self, id: &str, request: RotateKey) -> Result<Value, Failure> {
        let rotated = self
            .table
            .keys()
            .rotate(&Allowed::operator(), &KeyId::from_caller(id), request.grace)
            .await;
        let (record, plain) = rotated.map_err(|error| self.failure(error))?;
        created(record, &plain)
    }

    /// The registered names behind names that may be aliases, as the API does it.
    async fn registered(&self, names: BTreeSet<ModelName>) -> Result<BTreeSet<ModelName>, Failure> {
        let models = self.table.store.load_all::<Model>(Model::all()).await;
        let models = models.map_err(|error| self.failure(error.into()))?;
        names
            .into_iter()
            .map(|name| {
                let found = models
                    .iter()
                    .map(|stored| &stored.value)
                    .find(|model| model.deleted_at.is_none() && model.answers_to(name.as_str()));
                found.map(|model| model.name.clone()).ok_or_else(|| {
                    Kind::NotFound.because(format!(
                        "model `{name}` is not registered; add it with `diogenes model apply`, or \
                         leave --model out to allow every model"
                    ))
                })
            })
            .collect()
    }

    fn failure(&self, error: KeyError) -> Failure {
        match error {
            KeyError::Store(error) => Problem::from(error).into_failure(self.verbose),
            KeyError::NotFound(id) => Kind::NotFound.because(format!(
                "API key `{id}` does not exist in table `{}`; list keys with `diogenes key list` and \
                 the same flags",
                self.table.store.table()
            )),
            KeyError::Project(ProjectError::NotFound(_)) => {
                Kind::NotFound.because(error.to_string())
            }
            KeyError::Invalid { .. } | KeyError::Project(_) | KeyError::BeyondOwn(_) => {
                Kind::Config.because(error.to_string())
            }
            KeyError::Rejected(_) => {
                Kind::Other.because(format!("{error}; create a new key instead"))
            }
        }
    }
}

fn created(record: ApiKey, plain: &PlainKey) -> Result<Value, Failure> {
    let record = KeyBody::new(record, SystemClock.now());
    value(&CreatedKey { key: plain.expose().into(), record })
}

fn value(body: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(body).map_err(|error| Failure { kind: Kind::Other, error: error.into() })
}
