//! Names and definitions in the store: what models and routes rely on where many write at once.

pub mod changing;
pub mod claiming;
pub mod importing;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use diogenes_core::audit::Actor;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{ModelSpec, NameClaim, NameHolder, Registry, RegistryError, Source};
use diogenes_core::gateway::RouteSpec;
use diogenes_core::gateway::catalog::{CatalogEditor, CatalogError, Precondition, SecretRule};
use diogenes_core::name::ModelName;
use diogenes_core::ports::StateStore;
use diogenes_core::testing::{CountingWake, ManualClock};

/// A store with the model `target`, for one check.
pub struct Fixture {
    store: Arc<dyn StateStore>,
    registry: Registry,
    editor: CatalogEditor,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// An empty store and its clock.
    pub async fn new(store: Arc<dyn StateStore>, clock: Arc<ManualClock>) -> Self {
        let wake = Arc::new(CountingWake::default());
        let registry = Registry::new(store.clone(), clock.clone(), wake);
        let editor = CatalogEditor::new(store.clone(), clock, SecretRule::Machine);
        let fixture = Self { store, registry, editor, _keep: Box::new(()) };
        fixture.model("target", &[]).await.unwrap();
        fixture
    }

    /// Keeps what the store stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    async fn model(&self, model: &str, aliases: &[&str]) -> Result<(), RegistryError> {
        let mut spec = ModelSpec::new(["vllm", "--port", "{port}"]);
        spec.aliases = aliases.iter().map(|alias| name(alias)).collect();
        self.registry.apply(&name(model), spec, Source::Api).await.map(drop)
    }

    async fn delete_model(&self, model: &str) {
        self.registry.delete(&name(model), Source::Api).await.unwrap();
    }

    async fn route(&self, route: &str) -> Result<(), CatalogError> {
        let (actor, spec, whatever) = (Actor::operator(), leading_to("target"), Precondition::None);
        self.editor.apply_route(&actor, &name(route), &spec, &whatever).await.map(drop)
    }

    async fn delete_route(&self, route: &str) {
        let (actor, whatever) = (Actor::operator(), Precondition::None);
        self.editor.delete_route(&actor, &name(route), &whatever).await.unwrap();
    }

    async fn holder(&self, of: &str) -> Option<NameHolder> {
        let claim = self.store.load::<NameClaim>(&NameClaim::key_of(&name(of))).await.unwrap();
        claim.map(|claim| claim.value.holder)
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn leading_to(target: &str) -> RouteSpec {
    serde_json::from_value(serde_json::json!({"targets": [target]})).unwrap()
}
