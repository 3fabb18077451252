use super::Counts;
use crate::gateway::ProviderName;
use crate::gateway::prices::PriceVersion;
use crate::name::ModelName;
use crate::tenancy::Principal;

/// What one request has used.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    pub by: &'a Principal,
    /// The model that answered; where nobody did, the first choice.
    pub model: &'a ModelName,
    /// The provider whose model it is, if it is none of the fleet. So many of a provider's models
    /// are told apart; further ones count as `PROVIDER/others`.
    pub provider: Option<&'a ProviderName>,
    /// The route that led to it.
    pub route: Option<&'a ModelName>,
    pub counts: Counts,
    /// What the price is from, where there is one.
    pub price: Option<&'a PriceVersion>,
}
