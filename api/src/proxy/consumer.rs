use std::sync::Arc;

use diogenes_core::gateway::usage::{Counts, Noted, UsageBook};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Amount, Clock, StateStore};
use diogenes_core::tenancy::Principal;
use http::StatusCode;

use super::destination::Destination;
use super::fleet_link::Work;
use super::gateway::Gateway;
use super::purse::{Reservation, Spent};
use super::usage::{Usage, Used};
use crate::error::client_closed_request;

/// For whom a request is counted, where somebody counts.
pub(super) struct Consumer {
    book: Arc<UsageBook>,
    /// Where the book is written when the request ends, if it is then.
    store: Option<Arc<dyn StateStore>>,
    clock: Arc<dyn Clock>,
    by: Arc<Principal>,
    route: Option<ModelName>,
}

impl Consumer {
    pub(super) fn of(
        gateway: &Gateway,
        by: &Arc<Principal>,
        route: Option<&ModelName>,
    ) -> Option<Self> {
        let book = gateway.usage.clone()?;
        let (by, route) = (by.clone(), route.cloned());
        let store = gateway.usage_store.clone();
        Some(Self { book, store, clock: gateway.clock.clone(), by, route })
    }

    /// Counts a request that has ended; without `used`, what it has used is not known.
    pub(super) fn ended(
        &self,
        at: &Destination,
        status: StatusCode,
        used: Option<Used>,
        reservation: Option<&Reservation>,
    ) {
        let (tokens, cost) = match used {
            Some(used) => {
                let cost = reservation.and_then(|reservation| reservation.cost(used.priced()?));
                (used.usage(), cost)
            }
            // As budgets count it.
            None => (Usage::default(), reservation.and_then(Reservation::most)),
        };
        let is_failure = (status.is_client_error() || status.is_server_error())
            && status != client_closed_request();
        let is_told = match used {
            Some(Used::Unmetered) => false,
            Some(used) => used.told().is_some() || tokens.total() == 0,
            None => cost.is_none(),
        };
        let counts = Counts {
            requests: 1,
            errors: is_failure.into(),
            estimated: (!is_told).into(),
            ..counts(tokens, cost)
        };
        self.note(at, counts, reservation);
    }

    /// Counts what an attempt has used that is not the answer. Its request is counted at its end.
    pub(super) fn tried(&self, spent: Spent, reservation: &Reservation) {
        let counts = match spent {
            Spent::Tokens(usage) => counts(usage, reservation.cost(usage)),
            Spent::Unknown => counts(Usage::default(), reservation.most()),
        };
        if counts != Counts::default() {
            self.note(reservation.at(), counts, Some(reservation));
        }
    }

    /// Writes what was counted, where nobody else does.
    pub(super) fn written(&self) -> Option<Work> {
        let (book, clock, store) = (self.book.clone(), self.clock.clone(), self.store.clone()?);
        Some(Box::pin(async move {
            if let Err(error) = book.flush(&*store, clock.now()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "usage could not be written; trying again with the next request"
                );
            }
        }))
    }

    fn note(&self, at: &Destination, counts: Counts, reservation: Option<&Reservation>) {
        let (route, price) =
            (self.route.as_ref(), reservation.and_then(Reservation::price_version));
        let note = |model: &ModelName, provider| {
            let noted = Noted { by: &self.by, model, provider, route, counts, price };
            self.book.note(&noted, self.clock.now());
        };
        match at {
            Destination::Model(entry) => note(&entry.view().model.name, None),
            Destination::Hosted(hosted) => note(&hosted.name, Some(hosted.provider())),
        }
    }
}

fn counts(usage: Usage, cost: Option<Amount>) -> Counts {
    Counts {
        prompt_tokens: usage.prompt,
        cached_tokens: usage.cached,
        completion_tokens: usage.completion,
        nano_dollars: cost.unwrap_or_default(),
        ..Counts::default()
    }
}
