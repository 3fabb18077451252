use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{cluster, keys, models};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Diogenes control plane",
        description = "Keys, models and the cluster. Inference is OpenAI's API under `/v1`. \
                       Every call needs `Authorization: Bearer` with a key of the scope `admin`; \
                       every error is an OpenAI error object with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        keys::create, keys::list, keys::show, keys::revoke, keys::rotate,
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
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `GET /api/v1/openapi.json`; needs no key.
pub(super) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
