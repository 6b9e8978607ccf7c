//! The test as kubelet, and as those who delete pods and suspend Jobs: at random times, by the API alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headworks::flows::observed::{Job, JobConditionKind, Pod};
use k8s_openapi::api::batch::v1::Job as ApiJob;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Mutex, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::random::Random;
use super::shapes::{Act, Fate, Shape};

/// One Job and all that is done to it.
pub(super) struct Play {
    pub(super) number: usize,
    pub(super) shape: Shape,
    /// The Job as it was seen last.
    pub(super) job: watch::Sender<Option<Arc<Job>>>,
    /// Held while the Job is changed, so that no pod of it ends in that very moment.
    gate: RwLock<()>,
    /// Whether everything has been done to the Job.
    acted: watch::Sender<bool>,
    seed: u64,
}

impl Play {
    pub(super) fn new(number: usize, shape: Shape, seed: u64) -> Self {
        Self {
            number,
            shape,
            job: watch::Sender::new(None),
            gate: RwLock::new(()),
            acted: watch::Sender::new(false),
            seed,
        }
    }
}

/// What has begun with a pod.
#[derive(Default)]
struct Begun {
    lives: bool,
    goes: bool,
    /// Whether its phase is final.
    over: Arc<Mutex<bool>>,
}

pub(super) struct Kubelet {
    client: Client,
    pods: HashMap<Box<str>, Begun>,
    /// How many pods of a Job there have been.
    ordinals: HashMap<Box<str>, usize>,
    /// What is under way; a mistake in it is to be seen at once.
    pub(super) tasks: JoinSet<()>,
}

impl Kubelet {
    pub(super) fn new(client: Client) -> Self {
        Self { client, pods: HashMap::new(), ordinals: HashMap::new(), tasks: JoinSet::new() }
    }

    /// See a pod, and do what its fate wants.
    pub(super) fn see(&mut self, pod: &Pod, play: &Arc<Play>) {
        let begun = self.pods.entry(pod.uid.clone()).or_default();
        let hands = Hands {
            pods: Api::namespaced(self.client.clone(), super::NAMESPACE),
            name: pod.name.to_string(),
            uid: pod.uid.to_string(),
            play: play.clone(),
            over: begun.over.clone(),
        };
        if !begun.lives {
            begun.lives = true;
            let ordinal = self.ordinals.entry(pod.job.clone()).or_default();
            let fate = play.shape.fates.get(*ordinal).copied().unwrap_or(play.shape.rest);
            let random = Random::new(play.seed, (play.number * 100 + *ordinal) as u64);
            *ordinal += 1;
            self.tasks.spawn(hands.live(fate, random));
        } else if pod.deleting && !begun.goes {
            begun.goes = true;
            let ordinal = self.ordinals[&pod.job];
            let random = Random::new(!play.seed, (play.number * 100 + ordinal) as u64);
            self.tasks.spawn(hands.go(random));
        }
    }
}

/// Hands on one pod.
struct Hands {
    pods: Api<ApiPod>,
    name: String,
    uid: String,
    play: Arc<Play>,
    over: Arc<Mutex<bool>>,
}

impl Hands {
    async fn live(self, fate: Fate, mut random: Random) {
        pause(random.range(0, 400)).await;
        let restarts = if let Fate::Restart(restarts) = fate { restarts } else { 0 };
        // A short pod may end before anybody saw it run.
        if random.chance(80) || matches!(fate, Fate::Restart(_) | Fate::Deleted(_) | Fate::Linger) {
            self.status(running(restarts)).await;
            pause(random.range(0, 1500)).await;
        }
        match fate {
            Fate::Succeed => self.status(ended("Succeeded", 0, restarts)).await,
            Fate::Restart(_) => {
                // Long enough for the controller to count the restarts.
                pause(1500).await;
                self.status(ended("Succeeded", 0, restarts)).await;
            }
            Fate::Fail(code) => self.status(ended("Failed", code, restarts)).await,
            Fate::Disrupted => {
                let mut status = ended("Failed", 143, restarts);
                status["conditions"] = json!([
                    {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "a test"}
                ]);
                self.status(status).await;
            }
            Fate::SucceedAndGo => {
                self.status(ended("Succeeded", 0, restarts)).await;
                pause(random.range(0, 50)).await;
                self.delete(DeleteParams::default()).await;
            }
            Fate::Deleted(_) => self.delete(DeleteParams::default()).await,
            // If its Job is suspended the pod goes, and if it came too late for that, it may end.
            Fate::Linger if matches!(self.play.shape.act, Act::Suspend { .. }) => {
                self.play.acted.subscribe().wait_for(|acted| *acted).await.unwrap();
                pause(random.range(0, 500)).await;
                self.status(ended("Succeeded", 0, restarts)).await;
            }
            Fate::Linger => {}
        }
    }

    /// Graceful deletion has begun: the containers end, and then the pod is gone but for its finalizer.
    async fn go(self, mut random: Random) {
        let most = random.pick(&[300, 2500]);
        pause(random.range(0, most)).await;
        let deleted = self.play.shape.fates.iter().find_map(|fate| match fate {
            Fate::Deleted(code) => Some(*code),
            _ => None,
        });
        let code = deleted.unwrap_or_else(|| random.pick(&[0, 143]));
        self.status(ended(if code == 0 { "Succeeded" } else { "Failed" }, code, 0)).await;
        pause(random.range(0, 300)).await;
        self.delete(DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await;
    }

    /// Say how the pod is, unless it is over already.
    async fn status(&self, status: Value) {
        let _gate = self.play.gate.read().await;
        let mut over = self.over.lock().await;
        if *over {
            return;
        }
        *over = status["phase"] != "Running";
        let patch = json!({"metadata": {"uid": self.uid}, "status": status});
        answer(self.pods.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await);
    }

    async fn delete(&self, how: DeleteParams) {
        let _gate = self.play.gate.read().await;
        let only = Preconditions { uid: Some(self.uid.clone()), resource_version: None };
        answer(self.pods.delete(&self.name, &DeleteParams { preconditions: Some(only), ..how }).await);
    }
}

/// Do to a Job what its shape says.
pub(super) async fn act(client: Client, play: Arc<Play>, name: String) {
    let jobs: Api<ApiJob> = Api::namespaced(client, super::NAMESPACE);
    let change = async |spec: Value| {
        let patch = Patch::Merge(json!({"spec": spec}));
        answer(jobs.patch(&name, &PatchParams::default(), &patch).await);
    };
    match play.shape.act {
        Act::Nothing => {}
        Act::Resume { after } => {
            pause(after).await;
            change(json!({"suspend": false})).await;
        }
        Act::Suspend { after, lasting } => {
            pause(after).await;
            let gate = play.gate.write().await;
            let over = caught_up(&play).await;
            if !over {
                change(json!({"suspend": true})).await;
                until(&play, |job| has(job, JobConditionKind::Suspended)).await;
            }
            drop(gate);
            pause(lasting).await;
            change(json!({"suspend": false})).await;
        }
        Act::Parallelism { after, to } => {
            pause(after).await;
            let gate = play.gate.write().await;
            if !caught_up(&play).await {
                change(json!({"parallelism": to})).await;
                let wanted = format!("\"parallelism\":{to}");
                until(&play, |job| job.document.contains(&wanted)).await;
                pause(300).await;
            }
            drop(gate);
        }
    }
    play.acted.send_replace(true);
}

/// Give the Job controller's caches time to see what the pods last did. A pod that ends within the few milliseconds in
/// which its Job is changed, and is dismissed by a controller that has not heard of it, is the one race that nobody
/// who watches can see; it is not what is tested here. Whether the Job is over meanwhile.
async fn caught_up(play: &Play) -> bool {
    pause(2_000).await;
    play.job.borrow().as_ref().is_some_and(|job| over(job))
}

async fn until(play: &Play, what: impl Fn(&Job) -> bool) {
    let mut jobs = play.job.subscribe();
    jobs.wait_for(|job| job.as_ref().is_some_and(|job| what(job) || over(job))).await.unwrap();
}

fn has(job: &Job, kind: JobConditionKind) -> bool {
    job.conditions.iter().any(|condition| condition.kind == kind)
}

fn over(job: &Job) -> bool {
    use JobConditionKind::{Complete, Failed, FailureTarget, SuccessCriteriaMet};
    [Complete, Failed, FailureTarget, SuccessCriteriaMet].into_iter().any(|kind| has(job, kind))
}

async fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

/// What is gone cannot be patched; everything else has to work.
fn answer<T>(answer: kube::Result<T>) {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        other => drop(other.expect("the API server takes what a kubelet says")),
    }
}

fn container(state: &Value, restarts: i64) -> Value {
    json!([{
        "name": "main", "image": "none", "imageID": "none", "ready": state.get("running").is_some(),
        "restartCount": restarts, "state": state
    }])
}

fn running(restarts: i64) -> Value {
    let state = json!({"running": {"startedAt": now()}});
    json!({"phase": "Running", "containerStatuses": container(&state, restarts)})
}

fn ended(phase: &str, code: i64, restarts: i64) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    let state = json!({"terminated": {
        "exitCode": code, "reason": reason, "message": format!("code {code}"), "startedAt": now(), "finishedAt": now()
    }});
    json!({"phase": phase, "containerStatuses": container(&state, restarts)})
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
