use std::sync::Arc;

use diogenes_core::tenancy::{Allowed, may};

use super::admission::{Admission, InferenceRequest};
use super::call::until;
use super::delivery::{self, Answer, AnswerBody};
use super::gateway::Gateway;
use super::pursuit::{Move, Pursuit};
use super::refusal;
use super::resolution::Planned;
use crate::error::ApiError;

impl Gateway {
    /// Takes a request of a principal to its answer: admission, resolution, plan, attempts, delivery,
    /// settlement, each made from the one before it.
    ///
    /// A stream whose model has to start is answered at once, and walks on while it is read.
    ///
    /// # Errors
    /// Whatever ends the request before its answer begins, as callers of `/v1` see it.
    pub async fn walk(
        self: &Arc<Self>,
        by: Allowed<may::InferenceUse>,
        request: InferenceRequest,
    ) -> Result<Answer, ApiError> {
        let InferenceRequest { id, dialect, headers, arrived, .. } = &request;
        let mut draft = self.draft(id, *dialect, headers, *arrived);
        let mut prompted = None;
        let planned = async {
            let admitted = Admission::new(self, by, request, &mut draft, &mut prompted).await?;
            let resolved = admitted.resolve(self).await?;
            resolved.plan(self, &mut draft).await
        }
        .await;
        let mut answer = match planned {
            Ok(planned) => self.answer(planned).await,
            Err(error) => {
                if let Some(draft) = draft {
                    draft.refused(&error);
                }
                Err(error)
            }
        };
        if let (Ok(answer), Some(prompted)) = (&mut answer, prompted) {
            prompted.tell(&mut answer.headers);
        }
        if !matches!(&answer, Ok(Answer { body: AnswerBody::Stream(_), .. })) {
            // A stream settles at its own end.
            self.views.link.settle().await;
        }
        answer
    }

    async fn answer(self: &Arc<Self>, mut planned: Planned) -> Result<Answer, ApiError> {
        if let Some(kept) = planned.kept.take() {
            return Ok(delivery::replay(kept, planned, self));
        }
        let (mut pursuit, mut settlement) = Pursuit::new(self.clone(), planned);
        let (deadline, stream) = (pursuit.call.deadline, pursuit.call.patience.stream);
        let error = loop {
            match until(deadline, pursuit.next(&mut settlement)).await {
                Err(_) => break refusal::out_of_time(&pursuit.at),
                Ok(Move::Waits) if stream => {
                    return Ok(delivery::open(pursuit, settlement, &self.views.link));
                }
                Ok(Move::Waits | Move::Progress(_)) => {}
                Ok(Move::Refused(error)) => break error,
                Ok(Move::Reached(reached)) => {
                    return delivery::deliver(*reached, &pursuit.call, settlement, self).await;
                }
            }
        };
        settlement.fail(&error, None);
        Err(error)
    }
}

#[cfg(test)]
mod anthropic_tests;
#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod cache_tests;
#[cfg(test)]
mod departure_tests;
#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod messages_tests;
#[cfg(test)]
mod prompt_tests;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod responses_tests;
#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turn_tests;
#[cfg(test)]
mod usage_tests;
