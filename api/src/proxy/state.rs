use std::sync::Arc;

use super::Gateway;
use crate::auth::Authenticator;
use crate::metrics::Metrics;
use crate::settings::AppSettings;

/// What the handlers of `/v1` share.
pub struct ProxyState {
    /// Who makes a request.
    pub authenticator: Arc<dyn Authenticator>,
    /// The way of inference requests.
    pub gateway: Arc<Gateway>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Bounds.
    pub settings: AppSettings,
}
