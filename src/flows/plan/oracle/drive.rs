//! The controller around the planner: observe, plan, store, act, and wait until something happens or the plan is due.

use super::case::Case;
use super::invariants;
use super::manifest::{instant, micros};
use super::reference::Micros;
use super::rng::Rng;
use super::world::World;
use crate::flows::api::{JobFlow, JobFlowStatus};
use crate::flows::plan::{Action, Observed, Plan};

/// The planner, or one that is broken on purpose.
pub(super) type Planner = fn(&JobFlow, &Observed, jiff::Timestamp) -> Plan;

/// The trouble around the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// None: everything is seen and done immediately.
    None,
    /// Jobs are seen late, writes fail, the program crashes between its writes and plans late, and Jobs that have ended
    /// are deleted.
    Much,
}

/// Runs a case to its end, and returns the last status. The error says what was wrong.
pub(super) fn drive(
    case: &Case,
    planner: Planner,
    seed: u64,
    trouble: Trouble,
) -> Result<JobFlowStatus, String> {
    let world = World::new(case, Rng::new(seed), trouble == Trouble::Much);
    let mut controller = Controller { world, planner, trouble };
    // No case has nearly as many instants.
    for _ in 0..5_000 {
        let at = controller.world.now;
        let next = controller.settle().map_err(|wrong| format!("at {at} µs: {wrong}"))?;
        match next {
            Some(next) => controller.world.move_to(next),
            None if controller.world.is_over() != controller.world.deleted => {
                return Err("the flow is over and never deleted".to_owned());
            }
            None => return Ok(controller.world.status()),
        }
    }
    Err("it goes on and on".to_owned())
}

struct Controller<'a> {
    world: World<'a>,
    planner: Planner,
    trouble: Trouble,
}

impl Controller<'_> {
    /// Plans until nothing changes any more, and returns the instant of the next plan.
    fn settle(&mut self) -> Result<Option<Micros>, String> {
        let most = 20 + 4 * self.world.case.steps.len();
        let mut first = true;
        for _ in 0..most {
            let observed = self.world.observed();
            let plan = self.plan(&observed)?;
            if self.chance(10) {
                // The write fails: a conflict, or the program crashes.
                if self.chance(50) {
                    self.world.crash();
                }
                continue;
            }
            let changed = self.world.store(&plan.status)?;
            if !changed && !plan.events.is_empty() {
                return Err(format!("events without a change: {:?}", plan.events));
            }
            self.is_stable(&observed, &plan)?;
            self.world.prune(&plan.prunable);
            let mut acted = false;
            for action in &plan.actions {
                if self.chance(15) {
                    // The program crashes: the rest is not done, and is planned again.
                    self.world.crash();
                    acted = true;
                    break;
                }
                acted |= self.world.act(action)?;
            }
            if self.world.deleted {
                return Ok(None);
            }
            if self.chance(10) {
                self.world.tidy();
                acted = true;
            }
            if !changed && !acted {
                return self.rest(&plan);
            }
            if self.trouble == Trouble::None && !first {
                let Plan { status, actions, .. } = plan;
                let what = if changed { format!("{status:?}") } else { format!("{actions:?}") };
                return Err(format!("one plan was not enough: the next one adds {what}"));
            }
            first = plan.due == Some(self.world.timestamp());
            if first {
                continue;
            }
            // No plan is needed because of what this one did itself: its `due` has to cover that.
            if self.trouble == Trouble::None && self.world.rng.chance(50) {
                return self.sleep(&plan);
            }
        }
        Err(format!("still something to do after {most} plans"))
    }

    /// Checks that another plan on the same state writes nothing once the status is stored, whatever that state is.
    /// Otherwise each write would cause another plan for ever.
    fn is_stable(&self, observed: &Observed, plan: &Plan) -> Result<(), String> {
        let again = (self.planner)(&self.world.flow, observed, self.world.timestamp());
        // What is due at this very instant comes with the next plan.
        if again.status != plan.status && plan.due.is_none_or(|due| due > self.world.timestamp()) {
            return Err(format!("a plan changes what it has just written to {:?}", again.status));
        }
        Ok(())
    }

    /// Checks that really nothing is left to do, and finds the next instant.
    fn rest(&mut self, plan: &Plan) -> Result<Option<Micros>, String> {
        invariants::at_rest(&self.world)?;
        let next = self.sleep(plan)?;
        self.nothing_until(next)?;
        // The wake-up may be late.
        let late = if self.chance(30) { self.world.rng.between(1, 300_000) } else { 0 };
        Ok(next.map(|next| next + late))
    }

    /// Finds the next instant; nothing is left to do now.
    fn sleep(&mut self, plan: &Plan) -> Result<Option<Micros>, String> {
        let now = self.world.now;
        let due = plan.due.map(micros);
        if due.is_some_and(|due| due <= now) {
            return Err(format!("nothing is left to do, and the plan is due at {due:?} µs"));
        }
        Ok(self.world.next().into_iter().chain(due).min())
    }

    /// Checks that no plan between now and then wants anything: else this one was due earlier.
    fn nothing_until(&mut self, next: Option<Micros>) -> Result<(), String> {
        const LONG: Micros = 400 * 86_400 * 1_000_000;
        let now = self.world.now;
        let until = next.unwrap_or(now + LONG) - 1;
        if until <= now {
            return Ok(());
        }
        let between = if self.world.rng.chance(50) { until } else { self.world.rng.between(now + 1, until) };
        let observed = self.world.observed();
        let plan = (self.planner)(&self.world.flow, &observed, instant(between));
        let wrong =
            |what: String| Err(format!("a plan at {between} µs {what}, but it is due at {next:?} µs"));
        if !plan.events.is_empty() || self.world.store(&plan.status)? {
            return wrong(format!("changes the status to {:?}", plan.status));
        }
        for action in &plan.actions {
            if *action == Action::DeleteFlow || self.world.act(action)? {
                return wrong(format!("wants {action:?}"));
            }
        }
        Ok(())
    }

    fn plan(&mut self, observed: &Observed) -> Result<Plan, String> {
        let now = self.world.timestamp();
        let plan = (self.planner)(&self.world.flow, observed, now);
        if self.world.rng.chance(10) {
            let again = (self.planner)(&self.world.flow, observed, now);
            let same = (&again.status, &again.actions, again.due, &again.events, &again.prunable)
                == (&plan.status, &plan.actions, plan.due, &plan.events, &plan.prunable);
            if !same {
                return Err("two plans of one world differ".to_owned());
            }
        }
        invariants::of_plan(&self.world, &plan)?;
        Ok(plan)
    }

    fn chance(&mut self, percent: i64) -> bool {
        self.trouble == Trouble::Much && self.world.rng.chance(percent)
    }
}
