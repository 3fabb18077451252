use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_backends::system::{OsEntropy, SystemClock};
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{
    Beat, BeatStatus, ClaimId, InstanceId, Launch, Load, Model, ModelSpec, PhaseTimes, Placement,
    Slot, SlotState, Source,
};
use diogenes_core::keys::{Keys, NewKey, Scope, Weight};
use diogenes_core::ports::{Expect, Limits, StateStore};
use diogenes_core::secret::Secret;

/// The model of [`Tables::serving`].
pub(crate) const MODEL: &str = "bench";
/// The key that its replica asks for.
pub(crate) const UPSTREAM_KEY: &str = "upstream-key";

/// The DynamoDB that the functions read.
pub(crate) struct Tables {
    client: Client,
    pub(crate) endpoint: &'static str,
}

impl Tables {
    /// The emulator, which ends with this process.
    pub(crate) fn start() -> Self {
        let endpoint = diogenes_conformance::dynoxide::endpoint();
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("bench", "secret", None, None, "bench"))
            .endpoint_url(endpoint);
        Self { client: Client::from_conf(config.build()), endpoint }
    }

    /// Makes the table `name`, with one key in it; the key.
    pub(crate) async fn with_key(&self, name: &str) -> anyhow::Result<String> {
        let keys = Keys::new(self.create(name).await?, Arc::new(SystemClock), Arc::new(OsEntropy));
        let new = NewKey {
            project: diogenes_core::tenancy::ProjectId::default(),
            email: "bench@example.com".into(),
            name: "bench".into(),
            scopes: Scope::ALL.into_iter().collect(),
            models: None,
            expires_at: None,
            limits: Limits::default(),
            egress: false,
            weight: Weight::default(),
        };
        Ok(keys
            .issue(&diogenes_core::tenancy::Allowed::operator(), new)
            .await?
            .1
            .expose()
            .to_owned())
    }

    /// Makes the table `name`, in which [`MODEL`] has a replica that serves at `base_url`.
    pub(crate) async fn serving(&self, name: &str, base_url: &str) -> anyhow::Result<()> {
        let store = self.create(name).await?;
        let (now, claim) = (Timestamp::now(), ClaimId::new("bench-claim"));
        let instance = InstanceId::new("i-0123456789abcdef0");
        let mut spec = ModelSpec::new(["vllm", "serve", MODEL]);
        spec.ladder = vec![Placement::new("g6.xlarge").with("market", "spot")];
        let slot = Slot {
            model: MODEL.parse()?,
            index: 0,
            claim: claim.clone(),
            claimed_at: now,
            launch: Launch {
                engine: spec.engine(),
                spec: spec.hash(),
                ladder: spec.rungs(),
                rung: 0,
                tried: 1,
                attempt: 0,
                asked_at: now,
                upstream_key: Secret::new(UPSTREAM_KEY),
                lifetime: None,
            },
            phases: PhaseTimes::launched(now),
            state: SlotState::Ready {
                instance: instance.clone(),
                base_url: base_url.into(),
                ready_at: now,
            },
        };
        let beat = Beat {
            claim,
            instance: Some(instance),
            status: BeatStatus::Ready { base_url: base_url.into() },
            load: Load::default(),
            log_tail: Vec::new(),
            log_end: 0,
            at: now,
            expires_at: Timestamp::MAX,
        };
        let model = Model {
            name: MODEL.parse()?,
            spec,
            source: Source::Api,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        store.save(model, Expect::Absent).await?;
        store.save(slot, Expect::Absent).await?;
        store.save(beat, Expect::Absent).await?;
        Ok(())
    }

    async fn create(&self, name: &str) -> anyhow::Result<Arc<dyn StateStore>> {
        create_table(&self.client, name).await?;
        Ok(Arc::new(DynamoStore::new(self.client.clone(), name, Arc::new(SystemClock))))
    }
}
