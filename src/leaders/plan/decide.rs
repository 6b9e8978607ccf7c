//! Decides what to write next for one source, from the known objects, the memory of this source and the time.
//!
//! Everything that differs from the desired state is collected by urgency, and only the most urgent part is written.
//! Its result leads to another decision. Slices come first; annotations that only inform come last, so they never
//! delay a failover.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::choose::{Answer, Eligibility, Question, Reason};
use super::endpoint_slice::{Slices, differs};
use super::incumbent::Incumbent;
use super::key::Key;
use super::leader_service::{LeaderService, Published, families, slice_key, unaddressed, unresolved};
use super::memory::{Memory, WriteKind};
use super::model::{Family, Service, Slice, controller, plausible};
use super::rivals;
use super::settings::Strategy;
use super::state::{ClusterState, Source};
use super::status::{SourceReport, Status};
use super::writes::{Call, NextWrites, PendingWrites};
use crate::names::leader;

/// The longest delay of a status that differs only in the number of candidates.
const COUNT_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// The most faults of annotations that become conditions.
const MOST_FAULTS: usize = 8;

/// The input of a decision about one source.
pub(crate) struct Situation<'a> {
    pub(crate) key: &'a Key,
    pub(crate) state: &'a ClusterState,
    /// The memory of this source.
    pub(crate) memory: &'a Memory,
    /// The time for which a node may be not Ready until its pods are given up.
    pub(crate) node_grace: SignedDuration,
    pub(crate) now: Timestamp,
}

impl Situation<'_> {
    /// Decides, given the incumbent that [`Situation::incumbent`] read.
    pub(crate) fn next_writes(&self, incumbent: &Incumbent) -> NextWrites {
        let known = self.state.service(self.key).filter(|known| known.leads_for.is_none());
        let Some(known) = known else {
            return self.remove_all().most_urgent(self.memory, self.now, None, None);
        };
        match known.source.as_deref() {
            Some(source) if source.routable => self.lead(&known.service, source, incumbent),
            Some(source) => self.unroutable(&known.service, source, incumbent),
            None => self.opted_out(&known.service),
        }
    }

    /// Reads who leads from the objects, the memory and the published status.
    pub(crate) fn incumbent(&self) -> Incumbent {
        let known = self.state.service(self.key).map(|known| &known.service);
        let mut best = Incumbent::read(
            self.memory.incumbent.as_ref(),
            self.state.slices_of(self.key),
            self.state.leaders_of(self.key),
            known.map(|source| families(source)[0]),
        );
        let published = known.and_then(published_status).map_or(0, |status| plausible(status.epoch));
        best.epoch = best.epoch.max(published);
        best
    }

    /// The source no longer asks for a leader: its objects are deleted, and its annotations are removed.
    fn opted_out(&self, service: &Service) -> NextWrites {
        let mut pending = self.remove_all();
        if !service.meta.terminating {
            let annotations = vec![(leader::STATUS, None), (leader::LEADER_SERVICE, None)];
            pending.publishing.extend(annotate(service, annotations));
        }
        pending.most_urgent(self.memory, self.now, None, None)
    }

    /// The source asks for a leader and cannot have one: it has no pods. Its objects are deleted, and the status says
    /// why.
    fn unroutable(&self, service: &Service, source: &Source, incumbent: &Incumbent) -> NextWrites {
        let mut pending = self.remove_all();
        let status = Status {
            reason: "InvalidService".to_owned(),
            epoch: incumbent.epoch,
            conditions: invalid(source).collect(),
            ..Status::default()
        };
        if !service.meta.terminating {
            let annotations = vec![(leader::STATUS, Some(status.text())), (leader::LEADER_SERVICE, None)];
            pending.publishing.extend(annotate(service, annotations));
        }
        let report = SourceReport { status, served: false, cause: None };
        pending.most_urgent(self.memory, self.now, None, Some(report))
    }

    fn remove_all(&self) -> PendingWrites {
        let slices = self.state.slices_of(self.key).filter(|slice| !slice.meta.terminating);
        let slices = slices.map(|slice| Call::DeleteSlice(slice.meta.clone()));
        let leaders = self.state.leaders_of(self.key).filter(|leader| !leader.meta.terminating);
        let leaders = leaders.map(|leader| Call::DeleteService(leader.meta.clone()));
        PendingWrites { cleaning: slices.chain(leaders).collect(), ..PendingWrites::default() }
    }

    fn lead(&self, service: &Service, source: &Source, incumbent: &Incumbent) -> NextWrites {
        let pods = self.state.pods.pods_of(self.key);
        let families = families(service);
        let lease = match &source.settings.strategy {
            Strategy::Lease(name) => self.state.lease(&self.key.sibling(name.as_str())),
            Strategy::Oldest | Strategy::Newest => None,
        };
        let question = Question {
            settings: &source.settings,
            family: families[0],
            pods: &pods,
            incumbent: incumbent.uid(),
            down: &|node| self.state.down(node),
            node_grace: self.node_grace,
            lease,
            now: self.now,
        };
        Draft::new(self, service, source, incumbent, &families, &question).next_writes()
    }
}

/// The writes for a source that has a leader Service, as they are collected.
struct Draft<'a> {
    situation: &'a Situation<'a>,
    service: &'a Service,
    source: &'a Source,
    incumbent: &'a Incumbent,
    /// The families of the source, the primary one first.
    families: &'a [Family],
    question: &'a Question<'a>,
    answer: Answer<'a>,
    /// Another pod leads than before, or nobody does any more.
    changes: bool,
    /// The leader as the slices and the leader Service have to name it.
    published: Published,
    /// The name that the leader Service has to have.
    name: Key,
    /// The Service of that name, if it is ours.
    leader_service: Option<&'a Service>,
    /// A Service of that name that is not ours is in the way.
    name_is_taken: bool,
    pending: PendingWrites,
}

impl<'a> Draft<'a> {
    fn new(
        situation: &'a Situation<'a>,
        service: &'a Service,
        source: &'a Source,
        incumbent: &'a Incumbent,
        families: &'a [Family],
        question: &'a Question<'a>,
    ) -> Self {
        let state = situation.state;
        let answer = question.answer();
        let changes = answer.leader.map(|leader| &*leader.pod.meta.uid) != incumbent.uid();
        let name = situation.key.sibling(source.settings.leader_service.as_str());
        // Somebody else wrote under the very epoch, by hand or after an epoch was lost: a new one tells them apart.
        let contested = state
            .slices_of(situation.key)
            .any(|slice| is_for(slice, &name) && incumbent.is_contradicted_by(slice, families[0]));
        let published = Published {
            pod: answer
                .leader
                .map(|leader| (leader.pod.meta.key.name.to_string(), leader.pod.meta.uid.to_string())),
            since: if changes { Some(situation.now) } else { incumbent.since },
            epoch: incumbent.epoch + u64::from(changes || contested),
        };
        let leader_service = state
            .leaders_of(situation.key)
            .find(|one| one.meta.key == name && is_controlled_by(one, service));
        let name_is_taken = leader_service.is_none() && state.waits_for(&name, situation.key);
        Self {
            situation,
            service,
            source,
            incumbent,
            families,
            question,
            answer,
            changes,
            published,
            name,
            leader_service,
            name_is_taken,
            pending: PendingWrites::default(),
        }
    }

    fn next_writes(mut self) -> NextWrites {
        match self.leader_service {
            Some(leader_service) if !leader_service.meta.terminating => {
                self.write_slices(leader_service);
                self.repair(leader_service);
            }
            // One that is being deleted is made again once it is gone.
            Some(_) => {}
            None if self.name_is_taken => self.leave_name(),
            None => self.create(),
        }
        self.remove_obsolete();
        let mut status = self.status();
        let publish_at = if self.may_publish_status() { self.publish(&status) } else { None };
        // Written into the annotation, this condition would be untrue as soon as anybody could read it.
        status.conditions.extend(self.situation.memory.trouble(WriteKind::Source).cloned());
        let due = self.answer.due.into_iter().chain(publish_at).min();
        let is_routed = self.leader_service.is_some();
        let report = SourceReport {
            status,
            served: is_routed && self.answer.leader.is_some_and(|leader| leader.serving),
            cause: (self.changes && is_routed).then(|| self.cause()),
        };
        self.pending.most_urgent(self.situation.memory, self.situation.now, due, Some(report))
    }

    fn write_slices(&mut self, leader_service: &Service) {
        let Situation { state, key: source, now, .. } = *self.situation;
        let node = self.answer.leader.and_then(|leader| leader.pod.node.as_deref());
        let slices = Slices {
            source: self.service,
            leader_service: &leader_service.meta,
            leader: self.answer.leader,
            zone: node.and_then(|node| state.zone(node)),
            epoch: self.published.epoch,
            since: self.published.since,
            now,
        };
        for family in self.families {
            let key = slice_key(&leader_service.meta.key, *family);
            let known = state.slices_of(source).find(|slice| slice.meta.key == key);
            if let Some(known) = known.filter(|known| known.family != Some(*family)) {
                // The API server never changes the family of a slice.
                if !known.meta.terminating {
                    self.pending.failover.push(Call::DeleteSlice(known.meta.clone()));
                }
                break;
            }
            let wanted = slices.slice(*family, known);
            if known.is_some_and(|known| !differs(&wanted, known)) {
                continue;
            }
            let moves = self.changes || known.is_none_or(|known| known.endpoints != wanted.endpoints);
            let list = if moves { &mut self.pending.failover } else { &mut self.pending.repair };
            list.push(Call::WriteSlice(key, Box::new(wanted)));
            // The controller that wins the first family writes the others too: else two controllers could share an
            // epoch.
            if self.published.epoch != self.incumbent.epoch {
                break;
            }
        }
    }

    /// Compares the leader Service with the desired one.
    fn repair(&mut self, leader_service: &Service) {
        let desired = self.desired(Some(leader_service));
        let meta = &leader_service.meta;
        if desired.needs_another(leader_service) {
            self.pending.repair.push(Call::DeleteService(meta.clone()));
            return;
        }
        let Some(difference) = desired.difference(leader_service, &self.published) else { return };
        let patch = Call::PatchService(meta.clone(), difference.patch);
        if difference.routes {
            self.pending.repair.push(patch);
        } else if !self.changes {
            // Annotations wait until the slices route to the pod that they name.
            self.pending.publishing.push(patch);
        }
    }

    fn create(&mut self) {
        let object = self.desired(None).object(&self.name);
        self.pending.repair.push(Call::CreateService(self.name.clone(), Box::new(object)));
    }

    fn desired(&self, known: Option<&Service>) -> LeaderService {
        LeaderService::of(self.service, &self.source.settings, self.answer.leader.as_ref(), known)
    }

    /// Deletes our slices under a name that belongs to somebody else's Service: they would route that one.
    fn leave_name(&mut self) {
        let slices = self.situation.state.slices_of(self.situation.key);
        let stale = slices.filter(|slice| !slice.meta.terminating && is_for(slice, &self.name));
        self.pending.repair.extend(stale.map(|slice| Call::DeleteSlice(slice.meta.clone())));
    }

    /// Deletes what had the old name, once the leader Service of the new name is there, or cannot be.
    fn remove_obsolete(&mut self) {
        if self.leader_service.is_none() && !self.name_is_taken {
            return;
        }
        let Situation { state, key, .. } = *self.situation;
        let services = state.leaders_of(key).filter(|one| !one.meta.terminating);
        let services =
            services.filter(|one| one.meta.key != self.name || !is_controlled_by(one, self.service));
        self.pending.cleaning.extend(services.map(|one| Call::DeleteService(one.meta.clone())));
        let kept: Vec<Key> = self.families.iter().map(|family| slice_key(&self.name, *family)).collect();
        let slices = state.slices_of(key).filter(|slice| !slice.meta.terminating);
        let slices = slices.filter(|slice| !kept.contains(&slice.meta.key));
        self.pending.cleaning.extend(slices.map(|slice| Call::DeleteSlice(slice.meta.clone())));
    }

    /// The status of the source, given everything that is pending so far.
    fn status(&self) -> Status {
        let leader = self.answer.leader.as_ref();
        let status = Status {
            candidates: self.answer.candidates,
            conditions: self.conditions(),
            unresolved_ports: unresolved(self.service, leader),
            ..Status::default()
        };
        if self.leader_service.is_none() {
            return Status { reason: "NoLeaderService".to_owned(), epoch: self.incumbent.epoch, ..status };
        }
        Status {
            leader: self.published.pod.as_ref().map(|(name, _)| name.clone()),
            since: self.published.since,
            reason: self.answer.reason.as_str().to_owned(),
            epoch: self.published.epoch,
            ..status
        }
    }

    fn conditions(&self) -> Vec<String> {
        let Situation { state, memory, .. } = *self.situation;
        let mut conditions = Vec::new();
        if self.name_is_taken {
            conditions.push(format!("NameConflict: {} exists and is not ours", self.name.name));
        }
        if self.answer.ambiguous {
            conditions.push("AmbiguousClaim: several pods match the candidate selector".to_owned());
        }
        if self.leader_service.is_some() {
            conditions.extend(unaddressed(self.families, self.answer.leader.as_ref()));
            conditions.extend(rivals::conflicts(&self.name, state.rivals_of(&self.name)));
        }
        // A refusal matters only while a write of that kind is still wanted.
        let refused =
            [WriteKind::Slice, WriteKind::Service].into_iter().filter(|kind| self.pending.has(*kind));
        conditions.extend(refused.filter_map(|kind| memory.trouble(kind).cloned()));
        conditions.extend(invalid(self.source));
        conditions
    }

    /// Checks whether the status would be true if it were written now: the slices route to this leader, or nothing can
    /// route to it until somebody reads the status and acts.
    fn may_publish_status(&self) -> bool {
        match self.leader_service {
            Some(_) => !self.changes,
            None => self.name_is_taken || self.situation.memory.trouble(WriteKind::Service).is_some(),
        }
    }

    /// Adds the annotations of the source. Gives the time at which `status` will be written, if it is not now.
    fn publish(&mut self, status: &Status) -> Option<Timestamp> {
        let before = published_status(self.service);
        let name = &self.source.settings.leader_service;
        let mut annotations = vec![(leader::LEADER_SERVICE, Some(name.clone()))];
        let is_news = before.as_ref().is_none_or(|before| before.is_news(status));
        let written = self.situation.memory.status_written_at;
        let waits_until = written
            .and_then(|time| time.checked_add(COUNT_DELAY).ok())
            .filter(|time| !is_news && *time > self.situation.now);
        if waits_until.is_none() {
            annotations.push((leader::STATUS, Some(status.text())));
        }
        if self.answer.reason == Reason::Promoted {
            annotations.push((leader::PROMOTE, None));
        }
        self.pending.publishing.extend(annotate(self.service, annotations));
        waits_until.filter(|_| before.as_ref() != Some(status))
    }

    /// The reason why the incumbent is left, as a bounded word for metrics.
    fn cause(&self) -> &'static str {
        let Some(led) = self.incumbent.uid() else { return "first" };
        let Question { pods, settings, .. } = *self.question;
        let pod = pods.iter().find(|pod| *pod.meta.uid == *led);
        match pod.map(|pod| self.question.eligibility(pod)) {
            None => "gone",
            Some(_) if matches!(settings.strategy, Strategy::Lease(_)) => "lease",
            Some(Eligibility::Candidate) if settings.promote.is_some() => "promoted",
            Some(eligibility) => eligibility.cause(),
        }
    }
}

fn published_status(source: &Service) -> Option<Status> {
    Status::read(source.annotations.get(leader::STATUS))
}

fn is_for(slice: &Slice, leader_service: &Key) -> bool {
    slice.labels.get(leader::SLICE_SERVICE).is_some_and(|name| **name == *leader_service.name)
}

fn is_controlled_by(leader_service: &Service, source: &Service) -> bool {
    controller(&leader_service.owners).is_some_and(|owner| *owner.uid == *source.meta.uid)
}

/// The faults for which admission would refuse the source, as conditions.
fn invalid(source: &Source) -> impl Iterator<Item = String> {
    source.faults.iter().take(MOST_FAULTS).map(|fault| format!("InvalidAnnotation: {fault}"))
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
