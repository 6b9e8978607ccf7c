//! What to write next for one source: a pure function of what is known, what is remembered and the time.
//!
//! Of everything that is not as it should be, the most urgent part comes first, alone: after it is written, what is
//! known is asked again. The slice comes before all else; what only informs comes last, and never keeps it waiting.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::choose::{Answer, Question, Reason, Standing};
use super::endpoint_slice::{Slices, differs};
use super::incumbent::Incumbent;
use super::key::Key;
use super::leader_service::{LeaderService, Told, families, slice_key, unaddressed, unresolved};
use super::memory::{Kind, Memory};
use super::model::{Family, Meta, Service, Slice, controller, plausible};
use super::rivals;
use super::settings::Strategy;
use super::state::{Source, World};
use super::status::Status;
use super::writes::{Call, Found, Plan};
use crate::names::leader;

/// How long a status that only counts anew may wait.
const COUNT_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// How things are with one source.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// For people.
    pub status: Status,
    /// Whether a leader answers.
    pub served: bool,
    /// Why the incumbent is left, if it is: a bounded word.
    pub cause: Option<&'static str>,
    /// Who leads after the writes: the UID.
    pub leader: Option<String>,
    /// The standby's name.
    pub standby: Option<String>,
}

/// What is asked.
pub struct Situation<'a> {
    /// The source.
    pub key: &'a Key,
    /// What is known.
    pub world: &'a World,
    /// What is remembered of this source.
    pub memory: &'a Memory,
    /// How long a node may be not Ready.
    pub node_grace: SignedDuration,
    /// The time.
    pub now: Timestamp,
}

impl Situation<'_> {
    /// What to do.
    pub fn plan(&self) -> Plan {
        let known = self.world.service(self.key).filter(|known| known.leads_for.is_none());
        let Some(known) = known else {
            let mut found = Found::default();
            self.remove_all(&mut found);
            return found.first(self.memory, self.now, None, None);
        };
        match known.source.as_deref() {
            Some(source) if source.routable => self.lead(&known.service, source),
            other => self.off(&known.service, other),
        }
    }

    /// The leader as it is written.
    pub fn incumbent(&self) -> Incumbent {
        let known = self.world.service(self.key).map(|known| &known.service);
        let mut best = Incumbent::read(
            self.memory.incumbent.as_ref(),
            self.world.slices_of(self.key),
            self.world.leaders_of(self.key),
            known.map(|source| families(source)[0]),
        );
        let told = known.and_then(published).map_or(0, |status| plausible(status.epoch));
        best.epoch = best.epoch.max(told);
        best
    }

    /// No leader is wanted: ours go, and what we told on the source.
    fn off(&self, service: &Service, source: Option<&Source>) -> Plan {
        let mut found = Found::default();
        self.remove_all(&mut found);
        let mut view = None;
        let mut wanted = Vec::new();
        if let Some(source) = source {
            let status = Status {
                reason: "InvalidService".to_owned(),
                epoch: self.incumbent().epoch,
                conditions: invalid(source).collect(),
                ..Status::default()
            };
            wanted.push((leader::STATUS, Some(status.text())));
            wanted.push((leader::LEADER_SERVICE, None));
            view = Some(View { status, served: false, cause: None, leader: None, standby: None });
        } else {
            wanted.extend([(leader::STATUS, None), (leader::LEADER_SERVICE, None)]);
        }
        if !service.meta.terminating {
            found.telling.extend(annotate(service, wanted));
        }
        found.first(self.memory, self.now, None, view)
    }

    fn remove_all(&self, found: &mut Found) {
        let slices = self.world.slices_of(self.key).filter(|slice| !slice.meta.terminating);
        found.cleaning.extend(slices.map(|slice| Call::DeleteSlice(slice.meta.clone())));
        let leaders = self.world.leaders_of(self.key).filter(|leader| !leader.meta.terminating);
        found.cleaning.extend(leaders.map(|leader| Call::DeleteService(leader.meta.clone())));
    }

    #[expect(clippy::too_many_lines, reason = "one decision after the other; parts would share everything")]
    fn lead(&self, service: &Service, source: &Source) -> Plan {
        let settings = &source.settings;
        let families = families(service);
        let incumbent = self.incumbent();
        let pods = self.world.pods.pods_of(self.key);
        let lease = match &settings.strategy {
            Strategy::Lease(name) => self.world.lease(&self.key.sibling(name.as_str())),
            _ => None,
        };
        let question = Question {
            settings,
            family: families[0],
            pods: &pods,
            incumbent: incumbent.pod.as_ref().map(|(_, uid)| uid.as_str()),
            down: &|node| self.world.down(node),
            node_grace: self.node_grace,
            lease,
            now: self.now,
        };
        let answer = question.answer();
        let leads = answer.leader.map(|leader| &*leader.pod.meta.uid);
        let led = incumbent.pod.as_ref().map(|(_, uid)| uid.as_str());
        let changes = leads != led;
        let wanted = self.key.sibling(settings.leader_service.as_str());
        // Somebody else wrote under the very epoch, by hand or after an epoch was lost: a new one tells them apart.
        let contested = self
            .world
            .slices_of(self.key)
            .any(|slice| is_for(slice, &wanted) && incumbent.is_contradicted_by(slice, families[0]));
        let told = Told {
            pod: answer
                .leader
                .map(|leader| (leader.pod.meta.key.name.to_string(), leader.pod.meta.uid.to_string())),
            since: if changes { Some(self.now) } else { incumbent.since },
            epoch: incumbent.epoch + u64::from(changes || contested),
        };
        let mut found = Found::default();
        let is_ours = |leader: &&Service| {
            controller(&leader.owners).is_some_and(|owner| *owner.uid == *service.meta.uid)
        };
        let leader_service =
            self.world.leaders_of(self.key).filter(is_ours).find(|one| one.meta.key == wanted);
        let mut conditions = Vec::new();
        let mut routed = leader_service.is_some() && !changes;
        if let Some(leader_service) = leader_service {
            self.slices(
                service,
                &families,
                leader_service,
                &answer,
                &told,
                changes,
                incumbent.epoch,
                &mut found,
            );
            let desired = LeaderService::of(service, settings, answer.leader.as_ref(), Some(leader_service));
            if desired.needs_another(leader_service) {
                if !leader_service.meta.terminating {
                    found.repair.push(Call::DeleteService(leader_service.meta.clone()));
                }
            } else if !leader_service.meta.terminating
                && let Some(difference) = desired.difference(leader_service, &told)
            {
                // What only informs waits until it is true.
                if difference.routes {
                    found.repair.push(Call::PatchService(leader_service.meta.clone(), difference.patch));
                } else if routed {
                    found.telling.push(Call::PatchService(leader_service.meta.clone(), difference.patch));
                }
            }
        } else {
            // A slice under a name that is not ours would route somebody else's Service.
            let stale = self.world.slices_of(self.key).filter(|slice| !slice.meta.terminating);
            let stale = stale.filter(|slice| is_for(slice, &wanted));
            if self.world.waits_for(&wanted, self.key) {
                conditions.push(format!("NameConflict: {} exists and is not ours", wanted.name));
                routed = true;
                found.repair.extend(stale.map(|slice| Call::DeleteSlice(slice.meta.clone())));
            } else {
                let desired = LeaderService::of(service, settings, answer.leader.as_ref(), None);
                found.repair.push(Call::CreateService(wanted.clone(), Box::new(desired.object(&wanted))));
            }
        }
        // What had the old name goes once the new one is there, or cannot be.
        if leader_service.is_some() || self.world.waits_for(&wanted, self.key) {
            let obsolete =
                self.world.leaders_of(self.key).filter(|one| one.meta.key != wanted || !is_ours(one));
            let obsolete = obsolete.filter(|one| !one.meta.terminating);
            found.cleaning.extend(obsolete.map(|one| Call::DeleteService(one.meta.clone())));
            let kept: Vec<Key> = families.iter().map(|family| slice_key(&wanted, *family)).collect();
            let left = self.world.slices_of(self.key).filter(|slice| !slice.meta.terminating);
            let left = left.filter(|slice| !kept.contains(&slice.meta.key));
            found.cleaning.extend(left.map(|slice| Call::DeleteSlice(slice.meta.clone())));
        }

        if answer.ambiguous {
            conditions.push("AmbiguousClaim: several pods match the candidate selector".to_owned());
        }
        if leader_service.is_some() {
            conditions.extend(unaddressed(&families, answer.leader.as_ref()));
            conditions.extend(rivals::conflicts(&wanted, self.world.rivals_of(&wanted)));
        }
        // Of what is not asked for any more, no refusal matters.
        let refused = [Kind::Slice, Kind::Service].into_iter().filter(|kind| found.has(*kind));
        conditions.extend(refused.filter_map(|kind| self.memory.trouble(kind).cloned()));
        conditions.extend(invalid(source));
        let unrouted = leader_service.is_none();
        let status = Status {
            leader: told.pod.as_ref().map(|(name, _)| name.clone()).filter(|_| !unrouted),
            since: told.since.filter(|_| !unrouted),
            reason: if unrouted { "NoLeaderService" } else { answer.reason.as_str() }.to_owned(),
            candidates: answer.candidates,
            epoch: if unrouted { incumbent.epoch } else { told.epoch },
            conditions,
            unresolved_ports: unresolved(service, answer.leader.as_ref()),
        };
        routed |= unrouted && self.memory.trouble(Kind::Service).is_some();
        let (mut status, told_at) = if routed {
            self.tell(service, source, status, answer.reason, &mut found)
        } else {
            (status, None)
        };
        // In the status itself it would be untrue as soon as it could be read.
        status.conditions.extend(self.memory.trouble(Kind::Source).cloned());
        let due = answer.due.into_iter().chain(told_at).min();
        let cause = (changes && !unrouted).then(|| Self::cause(&question, &pods, led));
        let view = View {
            status,
            served: !unrouted && answer.leader.is_some_and(|leader| leader.serving),
            cause,
            leader: leads.map(str::to_owned),
            standby: answer.standby.map(|pod| pod.meta.key.name.to_string()),
        };
        found.first(self.memory, self.now, due, Some(view))
    }

    #[expect(clippy::too_many_arguments, reason = "what one slice is made of")]
    fn slices(
        &self,
        service: &Service,
        families: &[Family],
        leader_service: &Service,
        answer: &Answer<'_>,
        told: &Told,
        changes: bool,
        epoch_before: u64,
        found: &mut Found,
    ) {
        if leader_service.meta.terminating {
            return;
        }
        let node = answer.leader.and_then(|leader| leader.pod.node.as_deref());
        let slices = Slices {
            source: service,
            leader_service: &leader_service.meta,
            leader: answer.leader,
            zone: node.and_then(|node| self.world.zone(node)),
            epoch: told.epoch,
            since: told.since,
            now: self.now,
        };
        for family in families {
            let key = slice_key(&leader_service.meta.key, *family);
            let known = self.world.slices_of(self.key).find(|slice| slice.meta.key == key);
            if let Some(known) = known.filter(|known| known.family != Some(*family)) {
                // The family of a slice can never change.
                if !known.meta.terminating {
                    found.failover.push(Call::DeleteSlice(known.meta.clone()));
                }
                break;
            }
            let wanted = slices.slice(*family, known);
            if known.is_some_and(|known| !differs(&wanted, known)) {
                continue;
            }
            let moves = changes || known.is_none_or(|known| known.endpoints != wanted.endpoints);
            let list = if moves { &mut found.failover } else { &mut found.repair };
            list.push(Call::WriteSlice(key, Box::new(wanted)));
            // Whoever wins the first family writes the others too: else two controllers could share an epoch.
            if told.epoch != epoch_before {
                break;
            }
        }
    }

    /// The annotations of the source. Gives the status as it will be, and when it will be written if not now.
    fn tell(
        &self,
        service: &Service,
        source: &Source,
        status: Status,
        reason: Reason,
        found: &mut Found,
    ) -> (Status, Option<Timestamp>) {
        let mut wanted = Vec::new();
        let mut due = None;
        let told_before = published(service);
        let news = told_before.as_ref().is_none_or(|published| published.is_news(&status));
        let waits_until = self.memory.told_at.and_then(|time| time.checked_add(COUNT_DELAY).ok());
        let name = &source.settings.leader_service;
        wanted.push((leader::LEADER_SERVICE, Some(name.clone())));
        if news || waits_until.is_none_or(|time| time <= self.now) {
            wanted.push((leader::STATUS, Some(status.text())));
        } else if told_before.as_ref() != Some(&status) {
            due = waits_until;
        }
        if reason == Reason::Promoted {
            wanted.push((leader::PROMOTE, None));
        }
        found.telling.extend(annotate(service, wanted));
        (status, due)
    }

    /// Why the incumbent is left.
    fn cause(question: &Question<'_>, pods: &[&super::model::Pod], led: Option<&str>) -> &'static str {
        let Some(led) = led else { return "first" };
        match pods.iter().find(|pod| *pod.meta.uid == *led).map(|pod| question.standing(pod)) {
            None => "gone",
            Some(_) if matches!(question.settings.strategy, Strategy::Lease(_)) => "lease",
            Some(Standing::Candidate) if question.settings.promote.is_some() => "promoted",
            Some(standing) => standing.cause(),
        }
    }
}

fn published(source: &Service) -> Option<Status> {
    Status::read(source.annotations.get(leader::STATUS))
}

fn is_for(slice: &Slice, leader: &Key) -> bool {
    slice.labels.get(leader::SLICE_SERVICE).is_some_and(|name| **name == *leader.name)
}

/// What admission would refuse, as conditions.
fn invalid(source: &Source) -> impl Iterator<Item = String> {
    source.faults.iter().take(8).map(|fault| format!("InvalidAnnotation: {fault}"))
}

/// A patch of annotations, if one of them differs.
fn annotate(service: &Service, wanted: Vec<(&str, Option<String>)>) -> Option<Call> {
    let changes: Map<String, Value> = wanted
        .into_iter()
        .filter(|(key, value)| service.annotations.get(*key) != value.as_ref())
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    if changes.is_empty() {
        return None;
    }
    let patch = json!({"metadata": {
        "uid": &*service.meta.uid,
        "resourceVersion": &*service.meta.version,
        "annotations": changes,
    }});
    Some(Call::PatchSource(service.meta.clone(), patch))
}

/// Whether this Service is a leader Service of exactly that source.
pub fn is_owned(service: &Service, source: &Meta) -> bool {
    service.source() == Some(&*source.key.name)
        && controller(&service.owners).is_some_and(|owner| *owner.uid == *source.uid)
}
