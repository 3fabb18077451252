//! Datasets: what there is of them, and their part of the table.

use std::sync::Arc;

use diogenes_api::control::{DatasetsArea, Entrance};
use diogenes_core::batches::Files;
use diogenes_core::datasets::{Datasets, ExampleContent, NewDataset, NewExamples};
use diogenes_core::jobs::Jobs;
use diogenes_core::ports::{Blobs, Clock, StateStore};
use diogenes_core::tenancy::{Allowed, Permission};
use diogenes_core::testing::SeededEntropy;
use serde_json::json;

use Permission::{DatasetsRead, DatasetsWrite};

use super::table::{Route, control};

/// With the dataset `golden` of `team-a`, which has two examples.
pub(crate) async fn fixture(
    entrance: Entrance,
    store: Arc<dyn StateStore>,
    blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    jobs: Jobs,
) -> DatasetsArea {
    let entropy = Arc::new(SeededEntropy::new(6));
    let files = Files::new(store.clone(), blobs.clone(), clock.clone(), entropy.clone());
    let datasets = Datasets::new(store, blobs, clock, entropy);
    let (by, project) = (Allowed::operator(), "team-a".parse().unwrap());
    let name = "golden".parse().unwrap();
    datasets.create(&by, &project, &name, NewDataset::default()).await.unwrap();
    let example = ExampleContent { input: json!("x"), ..ExampleContent::default() };
    let examples = vec![example.clone(), example];
    let new = NewExamples { examples, ..NewExamples::default() };
    datasets.add(&by, &project, "golden", new).await.unwrap();
    DatasetsArea::new(entrance, datasets, files, jobs)
}

/// What is done with a dataset of the project `team-a`.
fn datasets(method: &'static str, path: &'static str, request: &'static str) -> Route {
    let needs = if method == "GET" { DatasetsRead } else { DatasetsWrite };
    Route { is_of_project: true, request, ..control(method, path, needs) }
}

/// The routes of datasets.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        datasets("GET", "/api/v1/datasets", "/api/v1/datasets?project=team-a"),
        Route {
            body: || json!({"name": "new"}),
            answer: (201, ""),
            audit: "dataset.create",
            ..datasets("POST", "/api/v1/datasets", "/api/v1/datasets?project=team-a")
        },
        datasets("GET", "/api/v1/datasets/{dataset}", "/api/v1/datasets/golden?project=team-a"),
        Route {
            body: || json!({"description": "new"}),
            audit: "dataset.update",
            ..datasets(
                "PATCH",
                "/api/v1/datasets/{dataset}",
                "/api/v1/datasets/golden?project=team-a",
            )
        },
        Route {
            audit: "dataset.delete",
            ..datasets(
                "DELETE",
                "/api/v1/datasets/{dataset}",
                "/api/v1/datasets/golden?project=team-a",
            )
        },
        datasets(
            "GET",
            "/api/v1/datasets/{dataset}/examples",
            "/api/v1/datasets/golden/examples?project=team-a",
        ),
        Route {
            body: || json!({"examples": [{"input": "y"}]}),
            answer: (201, ""),
            audit: "dataset.add",
            ..datasets(
                "POST",
                "/api/v1/datasets/{dataset}/examples",
                "/api/v1/datasets/golden/examples?project=team-a",
            )
        },
        Route {
            body: || json!({"ids": ["ex_1"]}),
            audit: "dataset.remove",
            ..datasets(
                "POST",
                "/api/v1/datasets/{dataset}/examples/remove",
                "/api/v1/datasets/golden/examples/remove?project=team-a",
            )
        },
        datasets(
            "GET",
            "/api/v1/datasets/{dataset}/examples/{example}",
            "/api/v1/datasets/golden/examples/ex_1?project=team-a",
        ),
        Route {
            body: || json!({"input": "z"}),
            audit: "dataset.change",
            ..datasets(
                "PUT",
                "/api/v1/datasets/{dataset}/examples/{example}",
                "/api/v1/datasets/golden/examples/ex_1?project=team-a",
            )
        },
        datasets(
            "GET",
            "/api/v1/datasets/{dataset}/snapshots",
            "/api/v1/datasets/golden/snapshots?project=team-a",
        ),
        datasets(
            "GET",
            "/api/v1/datasets/{dataset}/snapshots/{snapshot}",
            "/api/v1/datasets/golden/snapshots/v1?project=team-a",
        ),
        datasets(
            "GET",
            "/api/v1/datasets/{dataset}/compare",
            "/api/v1/datasets/golden/compare?from=v1&project=team-a",
        ),
        Route {
            body: || json!({"input": "z"}),
            answer: (201, ""),
            audit: "dataset.upload",
            ..datasets(
                "POST",
                "/api/v1/datasets/{dataset}/files",
                "/api/v1/datasets/golden/files?filename=x.jsonl&project=team-a",
            )
        },
        Route {
            answer: (404, "file_not_found"),
            ..datasets(
                "GET",
                "/api/v1/datasets/{dataset}/files/{file}",
                "/api/v1/datasets/golden/files/file-00000000000000000000000000000000?project=team-a",
            )
        },
        Route {
            body: || json!({"file": "file-00000000000000000000000000000000"}),
            answer: (404, "file_not_found"),
            audit: "dataset.import_begin",
            ..datasets(
                "POST",
                "/api/v1/datasets/{dataset}/import",
                "/api/v1/datasets/golden/import?project=team-a",
            )
        },
        Route {
            needs: Some(DatasetsRead),
            answer: (202, ""),
            audit: "dataset.export",
            ..datasets(
                "POST",
                "/api/v1/datasets/{dataset}/export",
                "/api/v1/datasets/golden/export?project=team-a",
            )
        },
    ]
}
