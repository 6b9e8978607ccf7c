//! The truth about outcomes: what pods decide early is what the Job controller comes to, in three hundred Jobs of every
//! shape. The control plane is real; it has no node, so the test plays the kubelet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use headworks::flows::observed::view::{JobView, PodView};
use headworks::flows::observed::{Job, Pod};
use headworks::flows::outcome::Outcome;
use headworks::names;
use k8s_openapi::api::batch::v1::Job as ApiJob;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, cluster};

use history::History;
use kubelet::{Kubelet, Play, act};
use random::Random;

mod history;
mod kubelet;
mod random;
mod shapes;

const NAMESPACE: &str = "outcome";
const NODE: &str = "outcome";
const JOBS: usize = 300;
/// Between two Jobs: more of them at once, and one would measure how long a busy controller lets them wait.
const PACE: Duration = Duration::from_millis(50);
/// Forty seconds are enough for a machine with nothing else to do.
const LIMIT: Duration = Duration::from_mins(5);

#[test]
fn pods_decide_what_the_job_controller_decides_only_earlier() {
    let cluster = cluster();
    if !cluster.runs_jobs() {
        eprintln!("skipped: there is no kube-controller-manager among the tools");
        return;
    }
    let seed = std::env::var("HEADWORKS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap());
    println!("HEADWORKS_SEED={seed}");
    let owner = prepare(cluster);
    let plays: Vec<Arc<Play>> = (0..JOBS)
        .map(|number| {
            let shape = shapes::shape(number, &mut Random::new(seed, number as u64));
            Arc::new(Play::new(number, shape, seed))
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    let histories = runtime.block_on(run(cluster, &plays, &owner));
    println!("{JOBS} Jobs ended within {:.1} s", began.elapsed().as_secs_f64());

    let mut lead: Vec<Duration> = Vec::new();
    let mut struck = 0;
    let mut table: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for play in &plays {
        let history = &histories[play.number];
        let (decided, first) = history.first.as_ref().unwrap();
        let (ended, last) = history.last.as_ref().unwrap();
        let deadline = !play.shape.spec["activeDeadlineSeconds"].is_null();
        for decision in std::iter::once(first.clone()).chain(history.every_decision()) {
            match agree(&decision, last, deadline) {
                Agreement::Same => {}
                Agreement::Struck => struck += 1,
                Agreement::Never => wrong.push(format!("{play}\n  early: {decision:?}\n  truth: {last:?}")),
            }
        }
        let row = table.entry(play.shape.kind).or_default();
        row.0 += 1;
        row.1 += usize::from(matches!(last, Outcome::Failed { .. }));
        if decided < ended {
            row.2 += 1;
            lead.push(*ended - *decided);
        }
    }
    for (kind, (jobs, failed, early)) in table {
        println!("{kind:28} {jobs:3} Jobs, {failed:3} failed, {early:3} decided early");
    }
    lead.sort_unstable();
    let at = |percent: usize| lead[(lead.len() - 1) * percent / 100].as_millis();
    println!("{} decided early, by p50 {} ms (p10 {}, p90 {})", lead.len(), at(50), at(10), at(90));
    println!("{struck} views in which a deadline struck after the pods had succeeded");
    wrong.dedup();
    assert!(
        wrong.is_empty(),
        "{} decisions that the Job controller did not make:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Nothing would be proved if nothing were decided early.
    assert!(lead.len() > JOBS / 3, "only {} of {JOBS} Jobs were decided early", lead.len());
    cluster.must(&["delete", "namespace", NAMESPACE, "--wait=false"], "");
    cluster.must(&["delete", "node", NODE, "--wait=false"], "");
}

enum Agreement {
    Same,
    /// The deadline struck in the second between the two: the one difference that is meant (Execution 3).
    Struck,
    Never,
}

fn agree(early: &Outcome, truth: &Outcome, deadline: bool) -> Agreement {
    let late = |reason: &str| deadline && reason == "DeadlineExceeded";
    match (early, truth) {
        (Outcome::Succeeded { .. }, Outcome::Succeeded { .. }) => Agreement::Same,
        (Outcome::Failed { reason: early, .. }, Outcome::Failed { reason, .. }) if early == reason => {
            Agreement::Same
        }
        (_, Outcome::Failed { reason, .. }) if late(reason) => Agreement::Struck,
        _ => Agreement::Never,
    }
}

impl std::fmt::Display for Play {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = &self.shape;
        let mut spec = shape.spec.clone();
        spec.as_object_mut().unwrap().remove("template");
        write!(f, "Job {} ({}): {spec}, {:?}, {:?}", self.number, shape.kind, shape.fates, shape.act)
    }
}

/// A namespace, a node that nobody runs, so that pods have to be deleted gracefully, and a flow that owns the Jobs and
/// does nothing itself.
fn prepare(cluster: &Cluster) -> Value {
    cluster.must(&["create", "namespace", NAMESPACE], "");
    cluster.must(
        &["create", "-f", "-"],
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}).to_string(),
    );
    let flow = json!({
        "apiVersion": names::API_VERSION, "kind": names::KIND, "metadata": {"name": "owner", "namespace": NAMESPACE},
        "spec": {"suspend": true, "steps": [{"name": "wait", "type": "Manual"}]}
    });
    cluster.must(&["create", "-f", "-"], &flow.to_string());
    let uid =
        cluster.must(&["-n", NAMESPACE, "get", "jobflow", "owner", "-o", "jsonpath={.metadata.uid}"], "");
    crate::cluster::eventually("the account that pods run as", || {
        cluster.kubectl(&["-n", NAMESPACE, "get", "serviceaccount", "default"], "").ok.then_some(())
    });
    json!({"apiVersion": names::API_VERSION, "kind": names::KIND, "name": "owner", "uid": uid, "controller": true})
}

async fn run(cluster: &Cluster, plays: &[Arc<Play>], owner: &Value) -> Vec<History> {
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let mut watches = stream::select(
        watcher(Api::<JobView>::namespaced(client.clone(), NAMESPACE), watcher::Config::default())
            .map_ok(Seen::Job)
            .boxed(),
        watcher(Api::<PodView>::namespaced(client.clone(), NAMESPACE), watcher::Config::default())
            .map_ok(Seen::Pod)
            .boxed(),
    );
    let mut kubelet = Kubelet::new(client.clone());
    kubelet.tasks.spawn(create(client, plays.to_vec(), owner.clone()));
    let mut histories: Vec<History> = plays.iter().map(|_| History::default()).collect();
    // Pods may be seen before their Job.
    let mut numbers: HashMap<Box<str>, usize> = HashMap::new();
    let mut early: Vec<Arc<Pod>> = Vec::new();
    let deadline = tokio::time::sleep(LIMIT);
    tokio::pin!(deadline);
    while histories.iter().any(|history| history.last.is_none()) {
        let seen = tokio::select! {
            seen = watches.next() => seen.unwrap().unwrap(),
            Some(done) = kubelet.tasks.join_next() => {
                done.unwrap();
                continue;
            }
            () = &mut deadline => {
                let open = plays.iter().filter(|play| histories[play.number].last.is_none());
                let open: Vec<_> = open.map(ToString::to_string).collect();
                panic!("{} Jobs have not ended after {LIMIT:?}:\n{}", open.len(), open.join("\n"));
            }
        };
        match seen {
            Seen::Job(Event::Apply(view) | Event::InitApply(view)) => {
                let Some(job) = Job::from_view(view).map(Arc::new) else { continue };
                let number: usize = job.step[1..].parse().unwrap();
                numbers.insert(job.id(), number);
                plays[number].job.send_replace(Some(job.clone()));
                histories[number].job(job.clone());
                for pod in early.extract_if(.., |pod| pod.is_of(&job)) {
                    kubelet.see(&pod, &plays[number]);
                    histories[number].pod(pod, false);
                }
            }
            Seen::Pod(event) => {
                let gone = matches!(event, Event::Delete(_));
                let (Event::Apply(view) | Event::InitApply(view) | Event::Delete(view)) = event else {
                    continue;
                };
                let pod = Arc::new(Pod::from_view(view).unwrap());
                let Some(&number) = numbers.get(&pod.job) else {
                    early.push(pod);
                    continue;
                };
                if !gone {
                    kubelet.see(&pod, &plays[number]);
                }
                histories[number].pod(pod, gone);
            }
            Seen::Job(_) => {}
        }
    }
    histories
}

enum Seen {
    Job(Event<JobView>),
    Pod(Event<PodView>),
}

/// Create all Jobs, those first that take long because their pods are tried again, and begin what is done to them.
async fn create(client: Client, mut plays: Vec<Arc<Play>>, owner: Value) {
    let jobs: Api<ApiJob> = Api::namespaced(client.clone(), NAMESPACE);
    plays.sort_by_key(|play| !play.shape.is_slow());
    let mut pace = tokio::time::interval(PACE);
    let mut acts = JoinSet::new();
    for play in plays {
        pace.tick().await;
        let job = json!({
            "metadata": {
                "generateName": "outcome-",
                "labels": {names::STEP_LABEL: format!("s{}", play.number)},
                "annotations": {names::ATTEMPT_ANNOTATION: "1"},
                "ownerReferences": [owner],
            },
            "spec": play.shape.spec,
        });
        let job = serde_json::from_value(job).unwrap();
        let (jobs, client) = (jobs.clone(), client.clone());
        acts.spawn(async move {
            let job = jobs.create(&PostParams::default(), &job).await.unwrap();
            act(client, play, job.metadata.name.unwrap()).await;
        });
    }
    acts.join_all().await;
}
