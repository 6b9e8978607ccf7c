//! Leader routing on the data path: real pods, kube-proxy, and a client that asks who answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{eventually, installed, json, kubectl, try_kubectl};

const NS: &str = "leaders";

/// How many failovers, one way after the other; each takes a few seconds, most of them for the next pod to be Ready.
fn failovers() -> usize {
    std::env::var("HEADWORKS_FAILOVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// Three servers that say who they are, and go on to serve for all of their grace; a leader Service; a client pod that
/// asks it without pause and writes down every answer.
const WORLD: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: leaders}
---
apiVersion: v1
kind: Service
metadata:
  name: who
  namespace: leaders
  annotations: {zen-lead.io/enabled: "true"}
spec:
  selector: {app: who}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: who, namespace: leaders}
spec:
  replicas: 3
  selector: {matchLabels: {app: who}}
  template:
    metadata: {labels: {app: who}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: who
          image: busybox
          imagePullPolicy: Never
          command: [sh, -c, 'trap "" TERM; mkdir /tmp/w; hostname >/tmp/w/index.html; >/tmp/w/ready; httpd -p 8080 -h /tmp/w; while :; do sleep 1; done']
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 30}
"#;

/// busybox' wget cannot be linked statically and look up names; `nc` asks no name.
fn client(address: &str) -> String {
    let ask = format!(
        r#"printf "GET / HTTP/1.0\r\n\r\n" | timeout 2 nc -w 1 {address} 80 2>/dev/null | tail -n 1"#
    );
    let script = format!("while :; do a=$({ask}); echo \"${{a:-failed}}\"; usleep 5000; done");
    serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "namespace": NS},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "client", "image": "busybox", "imagePullPolicy": "Never", "command": ["sh", "-c", script]}]}})
    .to_string()
}

/// The pod in the slice that takes new connections.
fn leader() -> Option<String> {
    let said = try_kubectl(&["-n", NS, "get", "endpointslice", "who-leader-ipv4", "-o", "json"], "");
    let slice: serde_json::Value = serde_json::from_str(&said.out).ok()?;
    let endpoint = &slice["endpoints"][0];
    if endpoint["conditions"]["ready"] != true {
        return None;
    }
    Some(endpoint["targetRef"]["name"].as_str()?.to_owned())
}

fn ready_pods() -> Vec<String> {
    let pods = json(&["-n", NS, "get", "pods", "-l", "app=who"]);
    let is_ready = |pod: &&serde_json::Value| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && pod["status"]["conditions"].as_array().is_some_and(|conditions| {
                conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            })
    };
    let ready = pods["items"].as_array().unwrap().iter().filter(is_ready);
    ready.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// What the client got since it started.
fn answers() -> Vec<String> {
    kubectl(&["-n", NS, "logs", "client", "--tail=-1"], "").lines().map(str::to_owned).collect()
}

/// How a leader may go.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Deleted; it serves on for its grace of 30 seconds.
    Delete,
    /// Deleted at once from the API, while it still runs.
    Force,
    /// Its probe fails; it serves on.
    NotReady,
    /// The selector does not match it any more; it serves on.
    Relabel,
    /// Its node is not Ready any more; it serves on, as one does that the network has cut off.
    NodeDeath,
}

const WAYS: [Way; 5] = [Way::Delete, Way::Force, Way::NotReady, Way::Relabel, Way::NodeDeath];

/// A pod of another node, for there is but one that is real: an object bound to a Node that only we speak for, with the
/// address of a real pod that answers in its name.
fn castaway(turn: usize) -> String {
    let name = format!("castaway-{turn}");
    let server = format!(
        "mkdir /tmp/w; echo {name} >/tmp/w/index.html; httpd -p 8080 -h /tmp/w; while :; do sleep 1; done"
    );
    let node = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "island"}});
    let real = serde_json::json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("behind-{name}"), "namespace": NS, "labels": {"app": "behind"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "server", "image": "busybox", "imagePullPolicy": "Never", "command": ["sh", "-c", server]}]}});
    let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NS, "labels": {"app": "who"}},
        "spec": {"nodeName": "island", "containers": [
            {"name": "server", "image": "busybox", "ports": [{"name": "http", "containerPort": 8080}]}]}});
    for one in [node, real, object] {
        kubectl(&["apply", "-f", "-"], &one.to_string());
    }
    node_is("island", "True");
    let behind = format!("behind-{name}");
    let address = eventually("the address of the real pod", || {
        let pod = json(&["-n", NS, "get", "pod", &behind]);
        let running = pod["status"]["phase"] == "Running";
        running.then(|| pod["status"]["podIP"].as_str().map(str::to_owned)).flatten()
    });
    let now = now();
    let status = serde_json::json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}});
    kubectl(&["-n", NS, "patch", "pod", &name, "--subresource=status", "-p", &status.to_string()], "");
    name
}

fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).unwrap().to_string()
}

/// Speak for a node that has no kubelet.
fn node_is(node: &str, ready: &str) {
    let now = now();
    let condition = serde_json::json!({"type": "Ready", "status": ready, "reason": "Test", "message": "",
        "lastHeartbeatTime": now, "lastTransitionTime": now});
    let status = serde_json::json!({"status": {"conditions": [condition]}}).to_string();
    kubectl(&["patch", "node", node, "--subresource=status", "-p", &status], "");
}

impl Way {
    /// Whether the leader has to be one of a kind: its name then.
    fn prepare(self, turn: usize) -> Option<String> {
        matches!(self, Self::NodeDeath).then(|| {
            let name = castaway(turn);
            kubectl(&["-n", NS, "annotate", "service", "who", &format!("zen-lead.io/promote={name}")], "");
            name
        })
    }

    /// End this leader's time.
    fn strike(self, leader: &str) {
        let in_space = |args: &[&str]| kubectl(&[&["-n", NS], args].concat(), "");
        match self {
            Self::Delete => in_space(&["delete", "pod", leader, "--wait=false"]),
            Self::Force => {
                in_space(&["delete", "pod", leader, "--wait=false", "--force", "--grace-period=0"])
            }
            Self::NotReady => in_space(&["exec", leader, "--", "rm", "/tmp/w/ready"]),
            Self::Relabel => in_space(&["label", "pod", leader, "app=retired", "--overwrite"]),
            Self::NodeDeath => {
                node_is("island", "False");
                String::new()
            }
        };
    }

    /// Clear away what is left of it, once another leads.
    fn clear(self, old: &str) {
        if !matches!(self, Self::Delete | Self::Force) {
            kubectl(&["-n", NS, "delete", "pod", old, "--wait=false", "--force", "--grace-period=0"], "");
        }
    }
}

#[test]
fn no_answer_comes_from_a_pod_that_leads_no_more() {
    if !installed() {
        return;
    }
    kubectl(&["apply", "-f", "-"], WORLD);
    eventually("three pods and a leader", || (ready_pods().len() == 3 && leader().is_some()).then_some(()));
    let service = json(&["-n", NS, "get", "service", "who-leader"]);
    kubectl(&["apply", "-f", "-"], &client(service["spec"]["clusterIP"].as_str().unwrap()));
    let first = leader().unwrap();
    eventually("the first answer", || {
        try_kubectl(&["-n", NS, "logs", "client"], "").out.lines().any(|line| line == first).then_some(())
    });
    let mut leaders = vec![first];
    let mut took: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for turn in 0..failovers() {
        let way = WAYS[turn % WAYS.len()];
        eventually("a standby", || (ready_pods().len() >= 2).then_some(()));
        if let Some(name) = way.prepare(turn) {
            eventually("the promoted one to lead", || leader().filter(|leader| *leader == name));
            eventually("its first answer", || answers().contains(&name).then_some(()));
            leaders.push(name);
        }
        let old = leader().unwrap();
        let began = Instant::now();
        way.strike(&old);
        let new = eventually("another leader", || leader().filter(|new| *new != old));
        eventually("its first answer", || answers().contains(&new).then_some(()));
        took.entry(format!("{way:?}")).or_default().push(began.elapsed());
        leaders.push(new);
        way.clear(&old);
    }
    // Until the last of the old ones has exited, it could still answer.
    eventually("the old pods to end", || {
        let pods = json(&["-n", NS, "get", "pods", "-l", "app=who"]);
        let pods = pods["items"].as_array().unwrap();
        pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null()).then_some(())
    });
    let answers = answers();
    let (mut now, mut late, mut strangers, mut failed) = (0, 0, 0, 0);
    for answer in &answers {
        // One that leads twice, before and after another, answers as the next: were it the last time's, the one between
        // would answer once more, and be late.
        let next = leaders[now..].iter().position(|leader| leader == answer);
        match next {
            _ if answer == "failed" => failed += 1,
            Some(further) => now += further,
            // Once the next leader has answered, kube-proxy has the new slice.
            None if leaders.contains(answer) => late += 1,
            None => strangers += 1,
        }
    }
    println!(
        "{} calls: {late} answers from a leader before, {strangers} from a pod that never led, {failed} calls failed",
        answers.len(),
    );
    for (way, mut took) in took {
        took.sort();
        let (half, last) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "{way}: {} failovers, to the first answer of the next p50 {half:?}, max {last:?} (with kubectl's own time)",
            took.len()
        );
    }
    assert_eq!((late, strangers), (0, 0));
    assert_eq!(now, leaders.len() - 1, "the last leader answers");
    kubectl(&["delete", "namespace", NS, "--wait=false"], "");
    kubectl(&["delete", "node", "island", "--ignore-not-found"], "");
}

/// A pod, and a Service with a leader.
const OUTLOOK: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: outlook}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: outlook, labels: {app: db, zone: a}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: m, image: busybox, imagePullPolicy: Never, command: [sleep, "600"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: outlook, annotations: {zen-lead.io/enabled: "true"}}
spec: {selector: {app: db}, ports: [{port: 80}]}
"#;

#[test]
fn a_selector_that_loses_its_pods_is_warned_of() {
    if !installed() {
        return;
    }
    let applied = try_kubectl(&["apply", "-f", "-"], OUTLOOK);
    assert!(
        applied.ok && !applied.err.contains("HW925"),
        "a new Service may come before its pods: {applied:?}"
    );
    eventually("a leader", || {
        let slice =
            try_kubectl(&["-n", "outlook", "get", "endpointslice", "db-leader-ipv4", "-o", "name"], "");
        let led = "jsonpath={.endpoints[0].targetRef.name}";
        let led = try_kubectl(&["-n", "outlook", "get", "endpointslice", "db-leader-ipv4", "-o", led], "");
        (slice.ok && led.out == "one").then_some(())
    });
    // Its twin is matched from the beginning, so that somebody else could lead.
    kubectl(&["apply", "-f", "-"], &OUTLOOK.replace("name: one", "name: two").replace("zone: a", "zone: b"));
    // Of two replicas either may be asked, and each sees new pods a moment later: asked until told.
    let warned = |selector: &str, words: &str| {
        let changed = OUTLOOK.replace("selector: {app: db}", selector);
        eventually(words, || {
            let said = try_kubectl(&["apply", "--dry-run=server", "-f", "-"], &changed);
            assert!(said.ok, "{}", said.err);
            said.err.contains(words).then_some(())
        });
    };
    warned("selector: {app: dbs}", "no pod is matched now");
    warned("selector: {app: dbs}", "HW925");
    warned("selector: {app: db, zone: b}", r#"pod "one", which leads now, is not matched"#);
    kubectl(&["delete", "namespace", "outlook", "--wait=false"], "");
}
