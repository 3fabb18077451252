//! Events of API Gateway to the routers of `diogenes-api` and back.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use diogenes_api::auth::PeerAddress;
use http::header::CONTENT_LENGTH;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt, Response, Service};

/// Answers one event. Who the caller is, as the authorizer said, and its address go along in the extensions.
pub async fn answer(mut router: Router, event: Request) -> Result<Response<Body>, Infallible> {
    let (principal, peer) = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => {
            let principal = crate::principal::from_context(|name| {
                context.authorizer.fields.get(name)?.as_str().map(str::to_owned)
            });
            (principal, context.identity.source_ip.clone())
        }
        _ => (None, None),
    };
    let mut request = event.map(Body::new);
    if let Some(principal) = principal {
        request.extensions_mut().insert(Arc::new(principal));
    }
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddress(peer));
    }
    let mut response = router.call(request).await?;
    // The length of a streamed response is the runtime's affair.
    response.headers_mut().remove(CONTENT_LENGTH);
    Ok(response)
}
