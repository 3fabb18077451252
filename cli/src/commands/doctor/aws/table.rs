use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{Model, ModelView, read_view};

use super::super::report::Report;
use crate::aws::{DeployedTable, Problem};

const NAME: &str = "table";

/// Looks at the table's shape and reads the models with their slots; nothing if it is not a table of
/// ours.
pub(super) async fn check(table: &DeployedTable, report: &mut Report) -> Option<Vec<ModelView>> {
    let name = table.store.table();
    match table.store.check_table().await {
        Ok(findings) if findings.is_empty() => {
            report.ok(NAME, format!("`{name}` has its keys, its index and its TTL"));
        }
        Ok(findings) => {
            for finding in findings {
                // They say after a semicolon what to do.
                let (what, next) =
                    finding.rsplit_once("; ").unwrap_or((&finding, "see docs/OPERATIONS.md"));
                report.fail(NAME, what, next);
            }
            return None;
        }
        Err(error) => {
            report.problem(NAME, Problem::from(error));
            return None;
        }
    }
    match models(table).await {
        Ok(views) => {
            report.ok(
                "models",
                match views.as_slice() {
                    [] => "none yet; register one with `diogenes model apply`".to_owned(),
                    views => views
                        .iter()
                        .map(|view| view.model.name.as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                },
            );
            Some(views)
        }
        Err(problem) => {
            report.problem("models", problem);
            None
        }
    }
}

async fn models(table: &DeployedTable) -> Result<Vec<ModelView>, Problem> {
    let mut views = Vec::new();
    for stored in table.store.load_all::<Model>(Model::all()).await? {
        views.extend(read_view(table.store.as_ref(), &stored.value.name).await?);
    }
    Ok(views)
}
