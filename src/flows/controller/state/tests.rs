use serde_json::{Value, json};

use super::*;
use crate::flows::observed;
use crate::flows::observed::JobConditionKind;

fn flow(name: &str, version: u64, phase: &str) -> view::FlowView {
    let object = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": version.to_string()},
        "spec": {"executionPolicy": {"concurrencyKey": "line"}, "steps": [{"name": "work"}]},
        "status": {"phase": phase, "startTime": "2026-11-24T10:00:00.000000Z"}
    });
    serde_json::from_value(object).unwrap()
}

fn key(name: &str) -> FlowKey {
    FlowKey { namespace: "default".to_owned(), name: name.to_owned() }
}

/// The identity of an object whose name is its UID.
fn id(name: &str) -> Box<str> {
    observed::id("default", name, name)
}

fn job(uid: &str, flow: &str) -> Job {
    let view: Value = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": uid, "namespace": "default", "uid": uid, "creationTimestamp": "2026-11-24T10:00:00Z",
            "labels": {"workflow.kube-zen.io/step": "work"},
            "annotations": {"workflow.kube-zen.io/attempt": "1"},
            "ownerReferences": [{
                "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": flow, "uid": flow, "controller": true
            }]
        },
        "spec": {"completions": 1}
    });
    Job::from_view(serde_json::from_value(view).unwrap()).unwrap()
}

fn pod(uid: &str, job: &str, phase: &str) -> Pod {
    let view: Value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": uid, "namespace": "default", "uid": uid, "creationTimestamp": "2026-11-24T10:00:00Z",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": job, "controller": true}]
        },
        "status": {"phase": phase}
    });
    Pod::from_view(serde_json::from_value(view).unwrap()).unwrap()
}

fn names(touched: &Touched) -> Vec<&str> {
    let mut names: Vec<&str> = touched.iter().map(|(key, _)| key.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// A flow that was stopped while a pod of it runs, and one that waits for it.
fn stopped_and_waiting() -> Cache {
    let cache = Cache::default();
    cache.flow(flow("older", 1, "Running"), Verdict::Sound, 0);
    cache.flow(flow("newer", 2, "Pending"), Verdict::Sound, 0);
    cache.job(job("job", "older"), 0);
    cache.pod(pod("pod", "job", "Running"), 0);
    cache.flow(flow("older", 3, "Failed"), Verdict::Sound, 0);
    cache
}

fn stands_in_the_way(cache: &Cache) -> bool {
    !cache.snapshot(&key("newer")).unwrap().observed.rivals[0].over
}

#[test]
fn who_waits_in_line_is_told_when_the_last_pod_of_a_deleted_job_goes() {
    let cache = stopped_and_waiting();
    cache.job_deleted(&id("job"), None);
    assert!(stands_in_the_way(&cache), "its pod still runs");
    assert_eq!(names(&cache.pod_deleted(pod("pod", "job", "Running"))), ["newer", "older"]);
    assert!(!stands_in_the_way(&cache));
    let index = cache.lock();
    assert!(index.leaving.is_empty() && index.owners.is_empty() && index.pods.is_empty());
}

#[test]
fn who_waits_in_line_is_told_when_a_deleted_job_is_the_last_to_go() {
    let cache = stopped_and_waiting();
    cache.pod_deleted(pod("pod", "job", "Running"));
    assert_eq!(names(&cache.job_deleted(&id("job"), None)), ["newer", "older"]);
    assert!(!stands_in_the_way(&cache));
}

#[test]
fn who_waits_in_line_is_told_when_the_last_pod_ends() {
    let cache = stopped_and_waiting();
    assert_eq!(names(&cache.pod(pod("pod", "job", "Failed"), 0)), ["newer", "older"]);
    assert!(!stands_in_the_way(&cache));
}

/// A flow that runs, with a Job that has a pod in this phase.
fn with_a_job(phase: &str) -> Cache {
    let cache = Cache::default();
    cache.flow(flow("flow", 1, "Running"), Verdict::Sound, 0);
    cache.job(job("job", "flow"), 0);
    cache.pod(pod("pod", "job", phase), 0);
    cache
}

#[test]
fn of_a_spent_job_nothing_is_kept_and_nothing_is_told() {
    let cache = with_a_job("Succeeded");
    cache.prune(&id("flow"), &["job".into()]);
    assert!(cache.snapshot(&key("flow")).unwrap().observed.jobs.is_empty());
    assert!(cache.lock().jobs.is_empty() && cache.lock().pods.is_empty() && cache.lock().leaving.is_empty());
    // The Job controller goes on writing.
    assert!(cache.job(job("job", "flow"), 0).is_empty());
    assert!(cache.pod(pod("pod", "job", "Succeeded"), 0).is_empty());
    assert!(!cache.job_created(job("job", "flow")));
    assert!(cache.lock().jobs.is_empty() && cache.lock().pods.is_empty());
    assert!(cache.job_deleted(&id("job"), None).is_empty());
    assert!(cache.lock().owners.is_empty());
    assert!(cache.snapshot(&key("flow")).unwrap().observed.jobs.is_empty(), "nobody asks for it any more");
}

#[test]
fn a_pod_of_a_spent_job_is_kept_until_it_ends() {
    let cache = with_a_job("Running");
    cache.flow(flow("newer", 2, "Pending"), Verdict::Sound, 0);
    cache.flow(flow("flow", 3, "Succeeded"), Verdict::Sound, 0);
    cache.prune(&id("flow"), &["job".into()]);
    assert!(stands_in_the_way(&cache), "its pod still runs");
    cache.pod(pod("another", "job", "Pending"), 0);
    assert!(!cache.pod(pod("pod", "job", "Succeeded"), 0).is_empty());
    assert!(stands_in_the_way(&cache), "the other still runs");
    assert_eq!(names(&cache.pod(pod("another", "job", "Failed"), 0)), ["flow", "newer"]);
    assert!(!stands_in_the_way(&cache));
    assert!(cache.lock().pods.is_empty() && cache.lock().leaving.is_empty());
    assert_eq!(cache.lock().owners.len(), 1, "the Job is still there");
}

#[test]
fn a_job_whose_step_is_over_is_pruned_whoever_wrote_so() {
    let over = || {
        let mut view = flow("flow", 2, "Running");
        let status = json!({"phase": "Running", "steps": [
            {"name": "work", "phase": "Succeeded", "jobRef": {"name": "job", "uid": "job"}}
        ]});
        view.flow.as_mut().unwrap().status = serde_json::from_value(status).unwrap();
        view
    };
    let kept = |cache: &Cache| cache.snapshot(&key("flow")).unwrap().observed.jobs.len();
    // A standby, whose leader writes.
    let cache = with_a_job("Succeeded");
    assert_eq!(kept(&cache), 1);
    cache.flow(over(), Verdict::Sound, 0);
    assert_eq!((kept(&cache), cache.lock().pods.len()), (0, 0));
    // The watch of Jobs is behind, or begins when all is over.
    let cache = Cache::default();
    cache.flow(over(), Verdict::Sound, 0);
    cache.job(job("job", "flow"), 0);
    assert_eq!((kept(&cache), cache.lock().owners.len()), (0, 1));
    let cache = Cache::default();
    cache.flow(over(), Verdict::Sound, 0);
    let watch = Watch { kind: Kind::Job, scope: 0 };
    cache.list_begins(watch);
    cache.job(job("job", "flow"), 0);
    cache.list_ends(watch);
    assert_eq!((kept(&cache), cache.lock().owners.len()), (0, 1));
}

#[test]
fn a_spent_job_that_a_list_lacks_is_forgotten() {
    let cache = with_a_job("Succeeded");
    cache.prune(&id("flow"), &["job".into()]);
    let watch = Watch { kind: Kind::Job, scope: 0 };
    for there in [true, false] {
        cache.list_begins(watch);
        if there {
            cache.job(job("job", "flow"), 0);
        }
        assert!(cache.list_ends(watch).is_empty());
        assert_eq!(cache.lock().owners.len(), usize::from(there));
    }
}

#[test]
fn a_change_waits_since_it_was_first_seen_and_never_since_the_future() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let cache = with_a_job("Running");
    assert_eq!(cache.waits_since(&id("flow"), at(100)), at(100));
    assert_eq!(cache.waits_since(&id("flow"), at(101)), at(100));
    assert_eq!(cache.waits_since(&id("flow"), at(7)), at(7), "the clock was set back");
    cache.written(&id("flow"));
    assert_eq!(cache.waits_since(&id("flow"), at(102)), at(102));
}

/// An object of another namespace, or under another name, that names the same owner by its UID.
fn elsewhere(of: &str) -> Box<str> {
    of.replacen("default", "elsewhere", 1).into()
}

#[test]
fn a_job_of_another_namespace_that_names_the_flow_is_not_the_flows() {
    let cache = with_a_job("Running");
    for foreign in [elsewhere(&id("flow")), observed::id("default", "other", "flow")] {
        let stranger = Job { flow: foreign, ..job("stranger", "flow") };
        let its_id = stranger.id();
        assert!(cache.job(stranger.clone(), 0).is_empty());
        assert!(!cache.job_created(stranger));
        let of_it = Pod { job: its_id.clone(), ..pod("its", "stranger", "Running") };
        assert!(cache.pod(of_it.clone(), 0).is_empty());
        let seen = cache.snapshot(&key("flow")).unwrap().observed.jobs;
        assert_eq!(seen.len(), 1);
        assert!(cache.pod_deleted(of_it).is_empty());
        assert!(cache.job_deleted(&its_id, None).is_empty());
        assert_eq!(cache.snapshot(&key("flow")).unwrap().observed.jobs.len(), 1);
    }
    assert_eq!(cache.lock().owners.len(), 1, "nothing is left of strangers");
}

#[test]
fn a_pod_of_another_namespace_that_names_the_job_is_not_the_jobs() {
    let cache = with_a_job("Running");
    for foreign in [elsewhere(&id("job")), observed::id("default", "other", "job")] {
        let stranger = Pod { job: foreign, ..pod("stranger", "job", "Succeeded") };
        assert!(cache.pod(stranger.clone(), 0).is_empty());
        assert_eq!(cache.snapshot(&key("flow")).unwrap().observed.jobs[0].pods.len(), 1);
        assert!(cache.pod_deleted(stranger).is_empty());
    }
    // Nor does it stand in anybody's way.
    let cache = stopped_and_waiting();
    cache.pod_deleted(pod("pod", "job", "Running"));
    cache.pod(Pod { job: elsewhere(&id("job")), ..pod("stranger", "job", "Running") }, 0);
    cache.job_deleted(&id("job"), None);
    assert!(!stands_in_the_way(&cache));
}

/// The only Job that a plan is shown.
fn only(cache: &Cache) -> JobSeen {
    let mut jobs = cache.snapshot(&key("flow")).unwrap().observed.jobs;
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

#[test]
fn what_is_deleted_is_known_as_it_was_last() {
    let cache = with_a_job("Running");
    let mut last = Job { deleting: true, ..job("job", "flow") };
    last.conditions = crate::flows::observed::fixtures::complete().conditions;
    // All of it comes with the deletion.
    cache.pod_deleted(pod("pod", "job", "Succeeded"));
    assert!(!cache.job_deleted(&id("job"), Some(last)).is_empty());
    let seen = only(&cache);
    assert_eq!(seen.gone, Some(Gone::Seen));
    assert_eq!(seen.job.conditions[0].kind, JobConditionKind::Complete);
    assert_eq!(seen.all_pods().len(), 1);
    // Until its step is over.
    cache.prune(&id("flow"), &["job".into()]);
    let index = cache.lock();
    assert!(index.lost.is_empty() && index.ended.is_empty() && index.owners.is_empty());
}

#[test]
fn pods_that_are_seen_after_the_end_of_their_job_belong_to_it_still() {
    let cache = Cache::default();
    cache.flow(flow("flow", 1, "Running"), Verdict::Sound, 0);
    cache.job(job("job", "flow"), 0);
    cache.job_deleted(&id("job"), None);
    assert_eq!(names(&cache.pod(pod("pod", "job", "Running"), 0)), ["flow"]);
    assert_eq!(names(&cache.pod_deleted(pod("pod", "job", "Succeeded"))), ["flow"]);
    assert_eq!(only(&cache).ended.len(), 1);
    cache.flow_deleted(&id("flow"));
    let index = cache.lock();
    assert!(
        index.lost.is_empty()
            && index.ended.is_empty()
            && index.owners.is_empty()
            && index.leaving.is_empty()
    );
}

#[test]
fn a_pod_that_had_ended_before_it_was_deleted_has_decided() {
    let cache = Cache::default();
    cache.flow(flow("flow", 1, "Running"), Verdict::Sound, 0);
    cache.job(job("job", "flow"), 0);
    let tracked = Pod { tracked: true, ..pod("pod", "job", "Succeeded") };
    cache.pod(tracked.clone(), 0);
    // Its Job goes: the finalizer is taken away without a count, and the pod is deleted.
    let going = Pod { tracked: false, deleting: true, ..tracked.clone() };
    cache.pod(going.clone(), 0);
    let seen = only(&cache);
    assert_eq!((seen.pods[0].tracked, seen.pods[0].deleting), (false, false), "its Job may have counted it");
    cache.job_deleted(&id("job"), None);
    cache.pod_deleted(going.clone());
    let seen = only(&cache);
    assert_eq!((seen.ended[0].tracked, seen.ended[0].deleting), (true, false));
    // One that was stopped has not.
    let cache = with_a_job("Running");
    cache.pod(Pod { deleting: true, ..pod("pod", "job", "Running") }, 0);
    cache.pod(Pod { deleting: true, tracked: true, ..pod("pod", "job", "Succeeded") }, 0);
    cache.job_deleted(&id("job"), None);
    assert!(only(&cache).pods[0].deleting);
}

#[test]
fn pods_that_are_gone_are_remembered_within_bounds() {
    let cache = Cache::default();
    cache.flow(flow("flow", 1, "Running"), Verdict::Sound, 0);
    cache.job(job("job", "flow"), 0);
    for number in 0..700 {
        let pod = pod(&format!("pod-{number}"), "job", "Failed");
        cache.pod(pod.clone(), 0);
        cache.pod_deleted(pod);
    }
    let seen = only(&cache);
    assert_eq!((seen.pods.len(), seen.ended.len()), (0, 500));
    assert_eq!(&*seen.ended[0].name, "pod-0");
    // Those of a Job that nobody knows are not remembered at all.
    cache.pod(pod("x", "unknown", "Succeeded"), 0);
    cache.pod_deleted(pod("x", "unknown", "Succeeded"));
    assert!(cache.lock().pods.is_empty());
    cache.prune(&id("flow"), &["job".into()]);
    assert!(cache.lock().ended.is_empty());
}

/// Whoever may create Jobs may name the flow as their controller, and delete them again, as often as he likes.
#[test]
fn of_jobs_that_are_gone_no_more_are_kept_than_the_flow_may_make() {
    let cache = with_a_job("Running");
    for n in 0..9 {
        for (step, attempt) in [("work", 1), ("work", n), ("nobody", 1)] {
            let name = format!("{step}-{attempt}-{n}");
            cache.job(Job { step: step.into(), attempt, ..job(&name, "flow") }, 0);
            cache.job_deleted(&id(&name), None);
        }
    }
    let index = cache.lock();
    assert_eq!(index.lost[&*id("flow")].len(), 1);
    assert_eq!(index.owners.len(), 2, "the one that is there, and the one that is gone");
}

#[test]
fn a_job_that_a_list_lacks_went_unseen() {
    let cache = with_a_job("Running");
    let watch = Watch { kind: Kind::Job, scope: 0 };
    cache.list_begins(watch);
    assert!(!cache.list_ends(watch).is_empty());
    assert_eq!(only(&cache).gone, Some(Gone::Missed));
}
