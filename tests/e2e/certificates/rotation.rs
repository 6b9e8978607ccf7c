//! The CA is rotated while three replicas are called without pause.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use headworks_certs::Facts;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

use super::aged::plant;
use super::audit::Audit;
use super::boot::bundles;
use super::process::Process;
use super::rig::{Rig, SECRET, Shape, delete_at_once, pod, record, served};
use super::slow::Slow;
use super::traffic::{Toll, Traffic};
use super::{long, number};
use crate::record::{Record, Records};
use crate::{NAMESPACE, eventually, installed, json as get, kubectl, pods};

/// From the start of the pods to the moment when the CA is due. Where pods start more slowly than that, more is tried.
const START: [Duration; 3] = [Duration::from_secs(25), Duration::from_mins(1), Duration::from_mins(3)];
/// A rotation, with its waits.
const ROTATION: Duration = Duration::from_mins(4);
const PHASES: [&str; 4] = ["staged", "published", "activated", "confirmed"];

/// A CA that is due, three replicas, and traffic.
struct Scene {
    rig: Rig,
    secrets: Arc<Records>,
    traffic: Traffic,
    old: Vec<u8>,
    due: Instant,
    _guard: tokio_util::sync::DropGuard,
}

/// What the Secret says of the rotation.
fn phase(secret: &Value) -> String {
    let text = secret["data"]["phase"].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

fn of_ours(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.name() == SECRET)
}

impl Scene {
    fn new(shape: &Shape) -> Option<Self> {
        for start in START {
            let rig = Rig::on_nothing(shape.clone())?;
            let (due, old) = plant(start);
            rig.start();
            let (secrets, guard) = record("Secret");
            let traffic = Traffic::start();
            if phase(&get(&["-n", NAMESPACE, "get", "secret", SECRET])) == "stable" && Instant::now() < due {
                return Some(Self { rig, secrets, traffic, old, due, _guard: guard });
            }
            traffic.finish();
        }
        panic!("pods take longer than {START:?} to start");
    }

    /// Wait until the CA is due, and have it noticed at once: the clock is looked at once a minute only.
    fn begin(&self) {
        sleep(self.due.saturating_duration_since(Instant::now()));
        kubectl(&["-n", NAMESPACE, "label", "secret", SECRET, "looked-at=now", "--overwrite"], "");
    }

    /// Wait until the Secret has come to a phase of this rotation.
    #[track_caller]
    fn until(&self, phase_: &str) {
        let found = self.secrets.find(ROTATION, |records| {
            let mut ours = of_ours(records).skip_while(|record| phase(&record.object) == "stable");
            ours.any(|record| phase(&record.object) == phase_).then_some(())
        });
        assert!(found.is_some(), "waited {ROTATION:?} for {phase_}: {:?}", self.course());
    }

    /// The phases that the Secret went through, and when.
    fn course(&self) -> Vec<(String, Duration)> {
        self.secrets.look(|records| {
            let mut course: Vec<(String, Duration)> = Vec::new();
            let began = records.first().map(|record| record.at);
            for record in of_ours(records) {
                let phase = phase(&record.object);
                if course.last().is_none_or(|(last, _)| *last != phase) {
                    course.push((phase, record.at - began.unwrap()));
                }
            }
            course
        })
    }

    /// Wait for the end and hold it against what it has to be: one CA, another one than before, the only one that is
    /// trusted, and every replica serves a certificate of it.
    #[track_caller]
    fn ends_right(&self) {
        self.until("stable");
        self.rig.is_settled();
        eventually("the end of the rotation", || {
            let secret = get(&["-n", NAMESPACE, "get", "secret", SECRET]);
            let data = secret["data"].as_object().unwrap();
            let has = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
            let authority = STANDARD.decode(has("ca.crt")).unwrap();
            assert_ne!(authority, self.old, "another CA");
            let left = data.keys().any(|key| key.starts_with("next-"));
            let trusted = bundles().iter().all(|bundle| bundle == has("ca.crt"));
            let leaf = CertificateDer::from_pem_slice(&STANDARD.decode(has("tls.crt")).unwrap()).unwrap();
            let serial = Facts::of(&leaf).unwrap().serial;
            let served = served();
            let all = served.len() == pods().len() && served.iter().all(|one| *one == serial);
            (phase(&secret) == "stable" && !left && trusted && all).then_some(())
        });
        let authorities = self.secrets.look(|records| {
            let mut all: Vec<_> =
                of_ours(records).map(|record| record.object["data"]["ca.crt"].clone()).collect();
            all.dedup();
            all.len()
        });
        assert_eq!(authorities, 2, "the old one and the new one, and none besides");
    }
}

#[test]
fn with_everything_late_a_rotation_loses_no_call() {
    if !installed() {
        return;
    }
    let Some(slow) = Slow::new() else {
        eprintln!("SKIPPED: pods cannot reach this machine");
        return;
    };
    for _ in 0..number("HEADWORKS_ROTATIONS", 1) {
        slow.delay(Duration::ZERO);
        let mut shape = Shape::new(3, &["--cert-publish-wait=10s"]);
        shape.api = Some(slow.detour.clone());
        let Some(scene) = Scene::new(&shape) else { return };
        slow.delay(Duration::from_secs(3));
        scene.begin();
        scene.ends_right();
        let course = scene.course();
        let phases: Vec<&str> = course.iter().map(|(phase, _)| phase.as_str()).collect();
        assert_eq!(phases, [&["stable"], &PHASES[..], &["stable"]].concat());
        let toll = scene.traffic.finish();
        eprintln!("a rotation with everything up to 3 s late: {course:?}");
        toll.nothing_was_lost();
    }
}

/// In which phases: those of `HEADWORKS_PHASES`, with commas between; all in the long form; else these.
fn phases(otherwise: &[&str]) -> Vec<String> {
    let all = std::env::var("HEADWORKS_PHASES")
        .or_else(|error| if long() { Ok(PHASES.join(",")) } else { Err(error) });
    let all = all.unwrap_or_else(|_| otherwise.join(","));
    all.split(',').filter(|phase| !phase.is_empty()).map(str::to_owned).collect()
}

/// A rotation in which the replica that brought it into `phase` is dealt a blow there. Every replica may take the next
/// step, so this is the one that knows most.
fn rotate_under(phase: &str, blow: impl Fn(&str, &[(String, Process)])) -> Option<(Toll, Duration)> {
    let scene = Scene::new(&Shape::new(3, &["--cert-publish-wait=5s"]))?;
    let find = |name: String| {
        let process = Process::of(pod(&name)["metadata"]["uid"].as_str().unwrap())?;
        Some((name, process))
    };
    let processes: Vec<_> = pods().into_iter().filter_map(find).collect();
    let audit = Audit::from_now();
    scene.begin();
    scene.until(phase);
    let writer = audit.as_ref().and_then(Audit::last_writer).unwrap_or_else(|| pods().remove(0));
    let at = scene.traffic.elapsed();
    blow(&writer, &processes);
    let took = scene.traffic.elapsed().checked_sub(at).unwrap();
    scene.ends_right();
    let course = scene.course();
    eprintln!("{writer} gone in the phase {phase}, {took:?} after it was told: {course:?}");
    Some((scene.traffic.finish(), at))
}

#[test]
fn its_writer_deleted_in_any_phase_a_rotation_ends_right_and_loses_no_call() {
    for phase in phases(&PHASES[1..2]) {
        let Some((toll, _)) = rotate_under(&phase, |writer, _| delete_at_once(writer)) else { return };
        toll.nothing_was_lost();
    }
}

/// What no shutdown can help: a process that is gone from one moment to the next takes the calls that it was answering
/// with it, and until the kubelet has told the API server goes on to call its address. The rotation ends right all the
/// same, and not a call is lost before or after.
#[test]
fn its_writer_killed_in_any_phase_a_rotation_ends_right() {
    let phases = phases(&[]);
    if phases.is_empty() {
        eprintln!("SKIPPED: `make test-certificates` kills it");
    }
    for phase in phases {
        let kill = |writer: &str, processes: &[(String, Process)]| {
            let (_, process) = processes.iter().find(|(name, _)| name == writer).unwrap();
            process.kill();
        };
        let Some((toll, at)) = rotate_under(&phase, kill) else { return };
        toll.nothing_was_lost_but_around(at);
    }
}
