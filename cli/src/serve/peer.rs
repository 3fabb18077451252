use std::net::IpAddr;

use axum::Router;
use diogenes_api::auth::PeerAddress;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

type Inner = TowerToHyperService<Router>;

/// The service of one connection. It tells the control plane, whose audit log wants to know, who
/// is at the other end; inference pays nothing for it.
#[derive(Clone)]
pub(super) struct FromPeer {
    pub(super) service: Inner,
    pub(super) peer: IpAddr,
}

impl Service<Request<Incoming>> for FromPeer {
    type Response = <Inner as Service<Request<Incoming>>>::Response;
    type Error = <Inner as Service<Request<Incoming>>>::Error;
    type Future = <Inner as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with("/api/") {
            request.extensions_mut().insert(PeerAddress(self.peer.to_canonical().to_string()));
        }
        self.service.call(request)
    }
}
