mod bounds;

use std::sync::LazyLock;

use axum::Json;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{audit, cluster, keys, models, projects};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Diogenes control plane",
        description = "Keys, projects, models, the cluster and the audit log. Inference is OpenAI's \
                       API under `/v1`. Every call needs `Authorization: Bearer` with a key that \
                       has the scope for it, such as `admin`; every error is an OpenAI error object with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        keys::create, keys::list, keys::show, keys::revoke, keys::rotate,
        projects::create, projects::list, projects::show, projects::archive,
        audit::list,
        models::list, models::show, models::apply, models::delete,
        cluster::state, cluster::order, cluster::logs,
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document of the control plane, made from the handlers.
pub fn document() -> Value {
    let mut document = plain();
    bounds::apply(&mut document);
    document
}

/// The document as the types of the handlers tell.
fn plain() -> Value {
    serde_json::to_value(Document::openapi()).unwrap_or_default()
}

/// `GET /api/v1/openapi.json`; needs no key.
pub(super) async fn serve() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    Json(&DOCUMENT)
}
