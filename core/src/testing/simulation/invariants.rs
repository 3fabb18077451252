use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::world::{INTERVAL, ROUTER_LAG, Simulation, Violation, now_or_panic};
use crate::entity::StoreExt;
use crate::fleet::{
    Beat, BeatStatus, ClaimId, Control, EndReason, Model, Slot, SlotState, eta::since,
};
use crate::ports::Clock;
use crate::testing::FakeInstance;

impl Simulation {
    /// What must hold after every step.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        let slots: Vec<Slot> = now_or_panic(self.store.load_all::<Slot>(Slot::all_of(&self.model)))
            .map_err(|error| self.violation(format!("the slots cannot be read: {error}")))?
            .into_iter()
            .map(|slot| slot.value)
            .collect();
        let alive = self.alive();
        self.check_cap(&slots, &alive)?;
        self.check_one_instance_per_claim(&alive)?;
        self.check_claims(&slots, &alive)?;
        self.check_slots(&slots)?;
        self.check_down(&slots)?;
        self.check_drains(&slots)?;
        self.check_orphans(&slots, &alive)
    }

    /// What is down stays down, until somebody asks again.
    fn check_down(&self, slots: &[Slot]) -> Result<(), Violation> {
        let control = self.control();
        let last_request = self.with_callers(|callers| callers.last_request);
        let Some(down_at) = control.down_at.filter(|_| !control.pinned) else {
            return Ok(());
        };
        // Of two orders at one moment the `up` counts; a request must have come after the `down`.
        let asked = self.pinned_since_down
            || control.up_at.is_some_and(|up_at| up_at >= down_at)
            || last_request.is_some_and(|arrival| arrival > down_at);
        let fresh = slots.iter().find(|slot| slot.is_live() && slot.claimed_at > down_at);
        match fresh.filter(|_| !asked) {
            Some(slot) => {
                Err(self.violation(format!("slot {} was claimed after `down`", slot.index)))
            }
            None => Ok(()),
        }
    }

    /// No replica is ended that a router may still send to: its draining was published before,
    /// and the lag waited, of which the write itself is a part. One that hangs is another matter.
    fn check_drains(&mut self, slots: &[Slot]) -> Result<(), Violation> {
        let mut drains = BTreeMap::new();
        for slot in slots {
            if matches!(self.beat_of(&slot.claim), Some(BeatStatus::Unhealthy { .. })) {
                self.hung.insert(slot.claim.clone());
            }
            match &slot.state {
                SlotState::Draining { since: began, .. } => {
                    drains.insert(slot.claim.clone(), *began);
                }
                SlotState::Terminating { since: ended, reason: EndReason::Drained(_), .. } => {
                    let told = self.drains.get(&slot.claim);
                    if let Some(began) = told {
                        drains.insert(slot.claim.clone(), *began);
                    }
                    let known = told.is_some_and(|began| since(*began, *ended) >= ROUTER_LAG);
                    if !known && !self.hung.contains(&slot.claim) {
                        let what = format!("slot {} ended before routers knew", slot.index);
                        return Err(self.violation(what));
                    }
                }
                SlotState::Launching
                | SlotState::Booting { .. }
                | SlotState::Ready { .. }
                | SlotState::Terminating { .. } => {}
            }
        }
        self.drains = drains;
        Ok(())
    }

    /// Never more owned instances than slots, and never a slot beyond the cap that was ever set.
    fn check_cap(&self, slots: &[Slot], alive: &[FakeInstance]) -> Result<(), Violation> {
        let cap = self.settings.max_replicas;
        if let Some(slot) = slots.iter().find(|slot| slot.index >= cap) {
            return Err(self.violation(format!("slot {} is beyond the cap {cap}", slot.index)));
        }
        let owned = alive
            .iter()
            .filter(|instance| slots.iter().any(|slot| slot.instance() == Some(&instance.id)))
            .count();
        if owned > cap as usize {
            return Err(self.violation(format!("{owned} instances run; the cap is {cap}")));
        }
        let model = self.record();
        let deleted = model.is_none_or(|model| model.deleted_at.is_some());
        let fresh = slots.iter().any(|slot| matches!(slot.state, SlotState::Launching));
        // A claim on a deleted model may stand for as long as nobody reconciled.
        if deleted && fresh && self.step > self.settings.steps + 10 {
            return Err(self.violation("a deleted model still launches"));
        }
        Ok(())
    }

    /// A launch token makes one instance. Another rung is another token: a reconciler that was
    /// overtaken may launch there after the claim went on, and what it launched is an orphan.
    fn check_one_instance_per_claim(&self, alive: &[FakeInstance]) -> Result<(), Violation> {
        let mut per_token: BTreeMap<_, u32> = BTreeMap::new();
        for instance in alive {
            *per_token.entry((&instance.details.claim, instance.rung.label())).or_default() += 1;
        }
        match per_token.iter().find(|(_, count)| **count > 1) {
            Some(((claim, rung), count)) => {
                Err(self.violation(format!("{count} instances run for claim {claim} on {rung}")))
            }
            None => Ok(()),
        }
    }

    /// Of many concurrent scale-ups one launches: instances that had a record at their birth
    /// have no more claims between them than the cap. A claim whose launch was refused is free at
    /// once and counts no more: what a reconciler that was overtaken launches for it is an orphan.
    fn check_claims(&mut self, slots: &[Slot], alive: &[FakeInstance]) -> Result<(), Violation> {
        let refused = slots.iter().filter(|slot| {
            let reason = &EndReason::LaunchFailed;
            matches!(&slot.state, SlotState::Terminating { reason: why, .. } if why == reason)
        });
        self.refused.extend(refused.map(|slot| slot.claim.clone()));
        for instance in alive {
            let recorded = slots.iter().any(|slot| slot.claim == instance.details.claim);
            self.recorded_at_birth.entry(instance.id.clone()).or_insert(recorded);
        }
        let claims: BTreeSet<_> = alive
            .iter()
            .filter(|instance| self.recorded_at_birth.get(&instance.id) == Some(&true))
            .map(|instance| &instance.details.claim)
            .filter(|claim| !self.refused.contains(*claim))
            .collect();
        if claims.len() > self.settings.max_replicas as usize {
            let claims = claims.len();
            return Err(self.violation(format!("{claims} claims have an instance each")));
        }
        Ok(())
    }

    fn check_slots(&self, slots: &[Slot]) -> Result<(), Violation> {
        for slot in slots {
            if let SlotState::Terminating { instance: Some(id), since, reason: EndReason::Lost } =
                &slot.state
            {
                let lived = |instance: &FakeInstance| {
                    instance.id == *id
                        && instance.ended.as_ref().is_none_or(|(ended, _)| ended > since)
                };
                if !self.compute.instances_where(lived).is_empty() {
                    return Err(
                        self.violation(format!("{id} was given up for lost though it lived"))
                    );
                }
            }
            if let Some(id) = slot.instance()
                && self.compute.instances_where(|instance| instance.id == *id).is_empty()
            {
                return Err(
                    self.violation(format!("slot {} names an instance that never was", slot.index))
                );
            }
        }
        Ok(())
    }

    /// No instance without an owner for longer than the listing's lag, one reconcile interval,
    /// and the reconciles that crashed or failed in between.
    fn check_orphans(&mut self, slots: &[Slot], alive: &[FakeInstance]) -> Result<(), Violation> {
        let now = self.clock.now();
        let owned = |instance: &FakeInstance| {
            slots.iter().any(|slot| {
                slot.claim == instance.details.claim
                    && slot.instance().is_none_or(|id| *id == instance.id)
            })
        };
        let mut orphaned = BTreeMap::new();
        for instance in alive.iter().filter(|instance| !owned(instance)) {
            let id = instance.id.to_string();
            let from = self.orphaned.get(&id).copied().unwrap_or(now);
            orphaned.insert(id, from);
        }
        self.orphaned = orphaned;
        let at_rest = self.step >= self.settings.steps;
        // While tasks crash at random, only rest gives a bound that always holds.
        let most = self.settings.settle + INTERVAL * 3 + Duration::from_secs(1);
        let oldest = self.orphaned.iter().find(|(_, from)| at_rest && since(**from, now) > most);
        match oldest {
            Some((id, _)) => Err(self.violation(format!("{id} has no owner"))),
            None => Ok(()),
        }
    }

    /// The record of the model, whether deleted or not.
    fn record(&self) -> Option<Model> {
        let stored = now_or_panic(self.store.load::<Model>(&Model::key_of(&self.model)));
        stored.ok().flatten().map(|stored| stored.value)
    }

    fn control(&self) -> Control {
        let stored = now_or_panic(self.store.load::<Control>(&Control::key_of(&self.model)));
        let control = stored.ok().flatten().map(|stored| stored.value);
        control.unwrap_or_else(|| Control::new(self.model.clone()))
    }

    pub(super) fn beat_of(&self, claim: &ClaimId) -> Option<BeatStatus> {
        let beat = now_or_panic(self.store.load::<Beat>(&Beat::key_of(claim)));
        beat.ok().flatten().map(|beat| beat.value.status)
    }
}
