//! Pods that come and go: rolling restarts, and what one pod does when it is told to stop.

use std::thread::JoinHandle;

use jiff::Timestamp;
use serde_json::Value;

use super::number;
use super::process::Process;
use super::rig::{Rig, Shape, pod, restart};
use super::traffic::Traffic;
use crate::{NAMESPACE, eventually, kubectl, pods, try_kubectl};

/// Each takes about ten seconds.
fn restarts() -> usize {
    number("HEADWORKS_RESTARTS", 3)
}

#[test]
fn rolling_restarts_under_load_lose_no_call() {
    let Some(rig) = Rig::new(Shape::new(3, &[])) else { return };
    let before = pods();
    let traffic = Traffic::start();
    for _ in 0..restarts() {
        restart();
    }
    rig.is_settled();
    let toll = traffic.finish();
    eprint!("{} rolling restarts of 3 replicas: ", restarts());
    toll.nothing_was_lost();
    assert!(pods().iter().all(|name| !before.contains(name)), "every pod is another");
}

#[test]
fn told_to_stop_it_answers_until_nobody_calls_and_exits_with_0() {
    let Some(rig) = Rig::new(Shape::new(3, &[])) else { return };
    let traffic = Traffic::start();
    let name = pods().remove(0);
    let uid = pod(&name)["metadata"]["uid"].as_str().unwrap().to_owned();
    match Process::of(&uid) {
        Some(process) => assert_eq!(process.id_inside(), 1),
        None => eprintln!("SKIPPED: that it is PID 1 is not looked at, for the node is another machine"),
    }
    // A finalizer keeps the object when the kubelet is done, and with it how the container ended.
    let keep = |list: &str| format!("{{\"metadata\": {{\"finalizers\": {list}}}}}");
    let patch = |list: &str| {
        kubectl(&["-n", NAMESPACE, "patch", "pod", &name, "--type=merge", "-p", &keep(list)], "")
    };
    patch("[\"headworks.test/keep\"]");
    // The kubelet throws a container's log away with the container.
    let log = follow_log(&name);
    kubectl(&["-n", NAMESPACE, "delete", "pod", &name, "--wait=false"], "");
    let ended = eventually("its container to end", || {
        let pod = pod(&name);
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        (!ended.is_null()).then(|| (told_at(&pod), ended.clone()))
    });
    patch("null");
    let log = log.join().unwrap();
    rig.is_settled();
    traffic.finish().nothing_was_lost();
    let (told, ended) = ended;
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&0.into(), &"Completed".into()), "{ended}");
    let lasted = time(&ended["finishedAt"]).duration_since(told).as_secs();
    eprintln!("from the deletion to the exit: {lasted} s");
    // Five quiet seconds at least, told in whole ones; and well before the end of the grace period, 40 s.
    assert!((4..39).contains(&lasted), "{lasted} s");
    assert!(log.contains("told to stop") && log.lines().last().unwrap().contains("\"stopped\""), "{log}");
}

/// Everything that a pod's container prints from its start to its end.
fn follow_log(pod: &str) -> JoinHandle<String> {
    let args = ["-n", NAMESPACE, "logs", "--follow", pod].map(str::to_owned);
    std::thread::spawn(move || try_kubectl(&args.each_ref().map(String::as_str), "").out)
}

fn time(text: &Value) -> Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

/// When a pod's deletion was asked for.
fn told_at(pod: &Value) -> Timestamp {
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap();
    time(&pod["metadata"]["deletionTimestamp"]) - jiff::SignedDuration::from_secs(grace)
}
