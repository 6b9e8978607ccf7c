use rstest::rstest;

use super::*;
use crate::flows::observed::JobConditionKind::{
    Complete, Failed, FailureTarget, SuccessCriteriaMet, Suspended,
};
use crate::flows::observed::JobShape;
use crate::flows::observed::fixtures::{at, complete, container, job, pod};

fn decide(job: &Job, pods: &[Pod]) -> Option<Outcome> {
    outcome(job, &pods.iter().collect::<Vec<_>>(), false)
}

#[track_caller]
fn succeeds(job: &Job, pods: &[Pod]) {
    let found = decide(job, pods);
    assert!(matches!(found, Some(Outcome::Succeeded { .. })), "{found:?}");
}

#[track_caller]
fn fails(job: &Job, pods: &[Pod]) -> (String, String, Option<i64>) {
    match decide(job, pods) {
        Some(Outcome::Failed { reason, message, exit_code, .. }) => (reason, message, exit_code),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn waits(job: &Job, pods: &[Pod]) {
    assert_eq!(decide(job, pods), None);
}

#[test]
fn the_only_pod_decides_success() {
    let found = decide(&job(), &[pod("a").succeeded(3, "")]);
    assert_eq!(found, Some(Outcome::Succeeded { at: Some(at(3)), pod: Some("uid-a".into()) }));
    waits(&job(), &[pod("a")]);
    waits(&job(), &[]);
}

#[test]
fn the_only_pod_decides_failure_where_nothing_is_forgiven() {
    let found = decide(&job(), &[pod("a").failed(3, "no such table\nsecond line\n")]);
    assert_eq!(
        found,
        Some(Outcome::Failed {
            reason: "BackoffLimitExceeded".into(),
            message: "container \"main\" of pod \"a\" exited with 3: no such table".into(),
            exit_code: Some(3),
            at: Some(at(5)),
            pod: Some("uid-a".into()),
        })
    );
    waits(&job().backoff_limit(1), &[pod("a").failed(3, "")]);
}

#[test]
fn pods_of_another_job_decide_nothing() {
    for other in
        ["n/f-load-0123456789/other-uid", "other/f-load-0123456789/job-uid", "n/other/job-uid", "job-uid"]
    {
        waits(&job(), &[Pod { job: other.into(), ..pod("a").succeeded(3, "") }]);
    }
    succeeds(&job(), &[Pod { job: "n/f-load-0123456789/job-uid".into(), ..pod("a").succeeded(3, "") }]);
}

#[test]
fn conditions_decide_and_nothing_else_where_that_is_asked() {
    assert_eq!(outcome(&job(), &[&pod("a").succeeded(3, "")], true), None);
    let done = outcome(&complete(), &[&pod("a").succeeded(3, "")], true);
    assert_eq!(done, Some(Outcome::Succeeded { at: Some(at(3)), pod: None }));
    // Whoever comes late finds no pods.
    assert_eq!(decide(&complete(), &[]), Some(Outcome::Succeeded { at: Some(at(10)), pod: None }));
}

#[test]
fn a_failed_condition_is_told_with_the_container_that_failed_first() {
    let failed = |reason, message| job().backoff_limit(3).with(Failed, reason, message);
    let pods = [pod("b").failed(2, "later").index(1), {
        let mut first = pod("a").failed(1, "first");
        first.containers[0] = container("main").ended(1, 4, "first");
        first
    }];
    let (reason, message, code) =
        fails(&failed("DeadlineExceeded", "Job was active longer than specified deadline"), &pods);
    assert_eq!(reason, "DeadlineExceeded");
    assert_eq!(
        message,
        "Job was active longer than specified deadline; container \"main\" of pod \"a\" exited with 1: first"
    );
    assert_eq!(code, Some(1));
    // The controller's sentence about the limit says nothing that the reason does not.
    let (_, message, _) =
        fails(&failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"), &pods);
    assert_eq!(message, "container \"main\" of pod \"a\" exited with 1: first");
    let (_, message, code) =
        fails(&failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"), &[]);
    assert_eq!((message.as_str(), code), ("Job has reached the specified backoff limit", None));
}

#[test]
fn a_failure_is_dated_by_its_target_which_comes_before_the_final_condition() {
    let mut failed = job().with(FailureTarget, "DeadlineExceeded", "").with(Failed, "DeadlineExceeded", "");
    failed.conditions[0].at = Some(at(7));
    assert!(matches!(decide(&failed, &[]), Some(Outcome::Failed { at: Some(when), .. }) if when == at(7)));
}

#[rstest]
#[case::success_criteria_met(job().with(SuccessCriteriaMet, "SuccessPolicy", ""))]
#[case::failure_target(job().with(FailureTarget, "BackoffLimitExceeded", ""))]
#[case::still_to_be_resumed(job().with(Suspended, "JobSuspended", ""))]
#[case::suspended(job().shape(|shape| shape.suspended = true))]
#[case::success_policy(job().indexed(1).shape(|shape| shape.success_policy = true))]
#[case::other_manager(job().shape(|shape| shape.managed_by_other = true))]
#[case::deleting(Job { deleting: true, ..job() })]
fn pods_decide_nothing(#[case] job: Job) {
    waits(&job, &[pod("a").succeeded(3, "").index(0)]);
    waits(&job, &[pod("a").failed(3, "").index(0)]);
}

#[rstest]
#[case::policy(|shape: &mut JobShape| shape.pod_failure_policy = true)]
#[case::per_index(|shape: &mut JobShape| shape.backoff_limit_per_index = true)]
#[case::restarts(|shape: &mut JobShape| shape.restart_never = false)]
#[case::unknown_limit(|shape: &mut JobShape| shape.backoff_limit = None)]
fn a_failed_pod_does_not_decide_where_others_judge_it(#[case] change: fn(&mut JobShape)) {
    waits(&job().indexed(2).shape(change), &[pod("a").failed(3, "").index(0)]);
    // Success of all is success still, but not beside a pod that failed.
    succeeds(&job().shape(change), &[pod("a").succeeded(3, "")]);
    waits(
        &job().backoff_limit(6).shape(change),
        &[pod("a").succeeded(3, ""), pod("b").failed(3, "").untracked()],
    );
}

#[test]
fn success_takes_as_many_distinct_pods_as_completions_says() {
    let three = job().completions(3).backoff_limit(6);
    let (a, b, c) = (pod("a").succeeded(2, ""), pod("b").succeeded(3, ""), pod("c").succeeded(4, ""));
    waits(&three, &[a.clone(), b.clone()]);
    assert_eq!(decide(&three, &[a, b, c]), Some(Outcome::Succeeded { at: Some(at(4)), pod: None }));
}

#[test]
fn a_pod_without_its_finalizer_counts_as_far_as_the_job_has_counted() {
    let two = job().completions(2);
    let (a, b) = (pod("a").succeeded(2, "").untracked(), pod("b").succeeded(3, ""));
    waits(&two, &[a.clone(), b.clone()]);
    succeeds(&two.clone().counted(1), &[a.clone(), b.clone()]);
    // The Job's counter may be ahead of our pods: then it counts a pod that still seems tracked, and must not count
    // twice.
    waits(&two.clone().counted(1), &[b]);
    waits(&two.counted(1), &[a]);
}

#[test]
fn success_needs_every_index_not_as_many_pods() {
    let two = job().indexed(2).backoff_limit(6);
    let done = |name: &str, index| pod(name).succeeded(2, "").index(index);
    succeeds(&two, &[done("a", 0), done("b", 1)]);
    waits(&two, &[done("a", 0), done("b", 0)]);
    waits(&two, &[done("a", 0), done("b", 2)]);
    waits(&two, &[done("a", 0), pod("b").succeeded(2, "")]);
    // What the Job has counted is done for good, even if the pod is gone; a lost finalizer alone proves nothing.
    succeeds(&two.clone().counted_indexes("0"), &[done("b", 1)]);
    succeeds(&two.clone().counted_indexes("0"), &[done("a", 0).untracked(), done("b", 1)]);
    waits(&two, &[done("a", 0).untracked(), done("b", 1)]);
}

#[test]
fn intervals_are_read_as_kubernetes_writes_them() {
    assert_eq!(intervals("", 9), []);
    assert_eq!(intervals("0-2,5,7-8", 9), [(0, 2), (5, 5), (7, 8)]);
    assert_eq!(intervals("0-9", 4), [(0, 3)]);
    // Nonsense proves nothing: neither twice the same, nor backwards, nor words.
    for odd in ["1,1", "3-1", "a-b", "2,0-9", "-1"] {
        assert!(intervals(odd, 9).len() <= 1, "{odd}");
    }
    let wide = job().indexed(5).counted_indexes("0-3");
    succeeds(&wide, &[pod("a").succeeded(1, "").index(4)]);
    waits(&wide, &[pod("a").succeeded(1, "").index(3)]);
}

#[test]
fn a_pod_that_is_being_deleted_counts_for_nothing() {
    waits(&job(), &[pod("a").succeeded(3, "").deleting()]);
    waits(&job(), &[pod("a").failed(3, "").deleting()]);
    waits(&job(), &[pod("a").succeeded(3, ""), pod("b").deleting()]);
    // One failure is forgiven, and it has been replaced, so it was counted.
    succeeds(&job().backoff_limit(1), &[pod("a").succeeded(3, ""), pod("b").deleting()]);
}

#[test]
fn success_waits_while_another_pod_may_still_fail() {
    waits(&job().backoff_limit(6), &[pod("a").succeeded(3, ""), pod("b")]);
    succeeds(&job().backoff_limit(6), &[pod("a").succeeded(3, ""), pod("b").failed(1, "").untracked()]);
}

#[test]
fn success_waits_where_restarts_alone_may_have_failed_the_job() {
    let restarting = |limit| job().backoff_limit(limit).shape(|shape| shape.restart_never = false);
    let done = |restarts| [pod("a").succeeded(3, "").restarted(restarts)];
    succeeds(&restarting(0), &done(0));
    waits(&restarting(0), &done(1));
    succeeds(&restarting(2), &done(1));
    waits(&restarting(2), &done(2));
    // A sidecar may be restarted in any Job, and is held against none where containers are not.
    succeeds(&job(), &done(3));
}

#[test]
fn failure_waits_where_the_pod_may_be_surplus_or_was_given_up() {
    waits(&job(), &[pod("a").failed(1, "").untracked()]);
    waits(&job(), &[pod("a").succeeded(3, ""), pod("b").failed(1, "")]);
    waits(&job().indexed(2), &[pod("a").failed(1, "").index(2)]);
    waits(&job().indexed(2), &[pod("a").failed(1, "")]);
    fails(&job().indexed(2), &[pod("a").failed(1, "").index(1)]);
}

#[test]
fn a_work_queue_can_fail_but_only_its_condition_says_that_it_succeeded() {
    let queue = job().shape(|shape| shape.completions = None);
    waits(&queue, &[pod("a").succeeded(3, "")]);
    fails(&queue, &[pod("a").succeeded(3, ""), pod("b").failed(1, "")]);
    waits(&job().completions(0), &[]);
}

#[test]
fn blame_falls_on_what_failed_first_and_not_on_what_was_stopped_for_it() {
    let job = Job { containers: "main,second,fetch".into(), ..job() };
    let said = |containers| fails(&job, &[pod("a").failed(0, "").containers(containers)]).1;
    let main = container("main").ended(3, 5, "boom");
    // Whole seconds: the sidecar seems to end together with what brought the pod down.
    let proxy = container("proxy").sidecar().ended(143, 5, "");
    assert_eq!(
        said(vec![proxy.clone(), main.clone()]),
        "container \"main\" of pod \"a\" exited with 3: boom"
    );
    let second = container("second").ended(137, 4, "").reason("OOMKilled");
    assert_eq!(said(vec![main, second]), "container \"second\" of pod \"a\" exited with 137 (OOMKilled)");
    let init = container("fetch").init().ended(1, 2, "\n\nnot found\n");
    assert_eq!(
        said(vec![init, container("main")]),
        "init container \"fetch\" of pod \"a\" exited with 1: not found"
    );
    assert_eq!(said(vec![container("main")]), "pod \"a\" failed");
}

#[test]
fn a_container_that_somebody_put_into_the_pod_is_to_blame_only_where_no_other_is() {
    let failed = |containers| fails(&job(), &[pod("a").failed(0, "").containers(containers)]);
    let proxy = container("mesh-proxy").ended(143, 4, "");
    let (message, code) = {
        let (_, message, code) = failed(vec![proxy.clone(), container("main").ended(7, 5, "boom")]);
        (message, code)
    };
    assert_eq!((message.as_str(), code), ("container \"main\" of pod \"a\" exited with 7: boom", Some(7)));
    let (_, message, code) = failed(vec![proxy, container("main").ended(0, 5, "")]);
    assert_eq!(
        (message.as_str(), code),
        ("container \"mesh-proxy\" of pod \"a\" exited with 143", Some(143))
    );
}

#[test]
fn last_words_that_the_kubelet_cut_are_told_as_cut() {
    let (_, message, _) = fails(&job(), &[pod("a").failed(1, &format!("of a line\n{}", "x".repeat(4086)))]);
    assert_eq!(message, "container \"main\" of pod \"a\" exited with 1: …of a line");
}

#[test]
fn of_a_job_that_is_gone_its_last_condition_decides() {
    let gone = |job: Job, pods: &[Pod]| of_gone(&job, &pods.iter().collect::<Vec<_>>());
    let going = |job: Job| Job { deleting: true, ..job };
    let done = Some(Outcome::Succeeded { at: Some(at(10)), pod: None });
    assert_eq!(gone(going(complete()), &[]), done);
    // The final one would have followed.
    assert_eq!(gone(going(job().with(SuccessCriteriaMet, "CompletionsReached", "")), &[]), done);
    let late = going(job().with(FailureTarget, "DeadlineExceeded", "late"));
    assert!(matches!(gone(late, &[]), Some(Outcome::Failed { reason, .. }) if reason == "DeadlineExceeded"));
    assert_eq!(gone(going(job()), &[]), None);
    // Pods that had ended before they were deleted have decided; those that were stopped have not.
    let ended = gone(going(job()), &[pod("a").succeeded(3, "")]);
    assert_eq!(ended, Some(Outcome::Succeeded { at: Some(at(3)), pod: Some("uid-a".into()) }));
    assert!(matches!(gone(going(job()), &[pod("a").failed(3, "")]), Some(Outcome::Failed { .. })));
    for stopped in [pod("a"), pod("a").succeeded(3, "").deleting(), pod("a").failed(143, "").deleting()] {
        assert_eq!(gone(going(job()), &[stopped]), None);
    }
    assert_eq!(gone(going(job().shape(|shape| shape.suspended = true)), &[pod("a").succeeded(3, "")]), None);
}

#[test]
fn a_pod_that_failed_as_a_whole_says_why() {
    let mut evicted = pod("a")
        .failed(0, "")
        .containers(vec![container("proxy").sidecar().ended(143, 5, ""), container("main")]);
    evicted.reason = Some("Evicted".into());
    evicted.message = Some("The node was low on resource: memory.".into());
    let (_, message, code) = fails(&job(), &[evicted]);
    assert_eq!(
        (message.as_str(), code),
        ("pod \"a\" failed (Evicted): The node was low on resource: memory.", None)
    );
}

#[test]
fn what_a_container_said_is_cut_and_cannot_steer_a_terminal() {
    let (_, message, _) = fails(&job(), &[pod("a").failed(1, &format!("\x1b[31m{}", "é".repeat(300)))]);
    let said = message.strip_prefix("container \"main\" of pod \"a\" exited with 1: ").unwrap();
    assert_eq!(said.chars().count(), 256);
    assert!(said.starts_with("[31mé") && said.ends_with('…'), "{said}");
}

#[test]
fn containers_that_ended_because_their_pod_was_deleted_are_not_to_blame() {
    let late = job().with(Failed, "DeadlineExceeded", "Job was active longer than specified deadline");
    let (_, message, code) = fails(&late, &[pod("a").failed(143, "").deleting()]);
    assert_eq!((message.as_str(), code), ("Job was active longer than specified deadline", None));
}

#[test]
fn an_evicted_pod_says_so_though_it_is_deleted() {
    let mut evicted = pod("a").failed(143, "").deleting();
    evicted.reason = Some("EvictionByEvictionAPI".into());
    evicted.message = Some("Eviction API: evicting".into());
    let over = job().with(Failed, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    let (_, message, code) = fails(&over, &[evicted]);
    assert_eq!(message, "pod \"a\" failed (EvictionByEvictionAPI): Eviction API: evicting");
    assert_eq!(code, None);
}

#[test]
fn the_final_condition_outranks_pods_and_targets() {
    let done =
        job().with(SuccessCriteriaMet, "CompletionsReached", "").with(Complete, "CompletionsReached", "");
    succeeds(&done, &[pod("a").failed(1, "")]);
    let failed = job().with(Failed, "DeadlineExceeded", "");
    fails(&failed, &[pod("a").succeeded(3, "")]);
}

#[test]
fn a_job_is_ahead_of_its_pods_until_those_that_it_has_counted_are_seen() {
    let two = complete().completions(2).counted(2);
    let (first, second) = (pod("a").succeeded(5, ""), pod("b").succeeded(6, ""));
    assert_eq!(ahead_of_pods(&two, &[&first, &pod("b")]), Some(at(10)));
    assert_eq!(ahead_of_pods(&two, &[&first, &second]), None);
    assert_eq!(ahead_of_pods(&job().counted(1), &[]), None, "it has not ended");

    let failed = |reason| Job { failed: 1, ..job().with(JobConditionKind::Failed, reason, "") };
    assert_eq!(ahead_of_pods(&failed("BackoffLimitExceeded"), &[&pod("a")]), Some(at(10)));
    assert_eq!(ahead_of_pods(&failed("BackoffLimitExceeded"), &[&pod("a").failed(3, "")]), None);
    // Its pods were deleted while they ran.
    assert_eq!(ahead_of_pods(&failed("DeadlineExceeded"), &[]), None);
}
