//! The models, routes and providers of the file.

use anyhow::Context as _;
use diogenes_backends::engine::secrets;
use diogenes_core::audit::Actor;
use diogenes_core::fleet::{Registry, Source};
use diogenes_core::gateway::RouteSpec;
use diogenes_core::gateway::catalog::{Catalog, CatalogEditor};

use super::config::Config;

/// Makes the catalog say what the file says of routes, providers and rate cards, whose keys must be
/// there.
pub(super) async fn take_over(editor: &CatalogEditor, config: &Config) -> anyhow::Result<()> {
    for (name, spec) in &config.providers {
        let Some(reference) = &spec.api_key else { continue };
        if let Err(problem) = secrets::read_one(reference) {
            anyhow::bail!(
                "[providers.{name}]: its `api_key` comes from {reference}, which {problem}"
            );
        }
    }
    let catalog = editor.take_over(&config.routes, &config.providers, &config.rate_cards).await?;
    warn_of_missing_targets(editor, config, &catalog).await?;
    for model in editor.missing_models(config.rate_cards.keys()).await? {
        tracing::warn!(
            %model,
            "rate card of {model}: no model is registered by this name, and aliases do not count; nothing is charged by it until one is"
        );
    }
    // Those of models that have gone from the file.
    editor.delete_orphaned_rate_cards(&Actor::operator()).await?;
    Ok(())
}

/// A target may be registered later, over the API, so a missing one is not a mistake yet.
async fn warn_of_missing_targets(
    editor: &CatalogEditor,
    config: &Config,
    catalog: &Catalog,
) -> anyhow::Result<()> {
    let targets = config.routes.values().flat_map(RouteSpec::models);
    let missing = editor.missing_targets(catalog, targets).await?;
    for (route, spec) in &config.routes {
        for target in spec.models().filter(|target| missing.contains(*target)) {
            tracing::warn!(
                %route,
                %target,
                "route {route}: `{target}` is neither a registered model nor one of a provider; requests skip it until it is"
            );
        }
    }
    Ok(())
}

/// Makes the registered models those of the file: new ones are added, changed ones changed, and
/// ones that were in the file and are no longer deleted.
pub(super) async fn take_over_models(registry: &Registry, config: &Config) -> anyhow::Result<()> {
    let mut removed = Vec::new();
    for old in registry.list().await? {
        if old.source != Source::Config {
            continue;
        }
        if !config.models.contains_key(&old.name) {
            registry.delete(&old.name, Source::Config).await?;
            removed.push(format!("`{}`", old.name));
            continue;
        }
        // A name that moves to another model of the file is given up before that takes it.
        let mut spec = old.spec.clone();
        spec.aliases.retain(|alias| {
            let mut others = config.models.iter().filter(|(name, _)| **name != old.name);
            !others.any(|(name, spec)| name == alias || spec.aliases.contains(alias))
        });
        registry.apply(&old.name, spec, Source::Config).await?;
    }
    if !removed.is_empty() {
        tracing::warn!(
            models = removed.len(),
            "removed models that are no longer in the configuration: {}",
            removed.join(", ")
        );
    }
    for (name, spec) in &config.models {
        registry
            .apply(name, spec.clone(), Source::Config)
            .await
            .with_context(|| format!("model `{name}` of the configuration"))?;
    }
    Ok(())
}
