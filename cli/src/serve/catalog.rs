//! The routes and providers of the file.

use diogenes_backends::engine::secrets;
use diogenes_core::audit::Actor;
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
