//! Leader routing on the data path: real pods, kube-proxy, and a client that asks who answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{eventually, installed, json, kubectl, try_kubectl};

const NS: &str = "leaders";

/// How many failovers; each takes a few seconds, most of them for the next pod to be Ready.
fn failovers() -> usize {
    std::env::var("HEADWORKS_FAILOVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// Three servers that say who they are, and go on to serve while they terminate; a leader Service; a client pod that
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
      terminationGracePeriodSeconds: 3
      containers:
        - name: who
          image: busybox
          imagePullPolicy: Never
          command: [sh, -c, 'trap "" TERM; mkdir /tmp/w; hostname >/tmp/w/index.html; httpd -p 8080 -h /tmp/w; while :; do sleep 1; done']
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
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
    let mut took = Vec::new();
    for _ in 0..failovers() {
        eventually("a standby", || (ready_pods().len() >= 2).then_some(()));
        let old = leader().unwrap();
        let began = Instant::now();
        kubectl(&["-n", NS, "delete", "pod", &old, "--wait=false"], "");
        let new = eventually("another leader", || leader().filter(|new| *new != old));
        eventually("its first answer", || answers().contains(&new).then_some(()));
        took.push(began.elapsed());
        leaders.push(new);
    }
    // The old ones exit only now and then: let the last one go, too.
    std::thread::sleep(Duration::from_secs(4));
    let answers = answers();
    let turn: BTreeMap<&str, usize> =
        leaders.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let (mut now, mut late, mut strangers, mut failed) = (0, 0, 0, 0);
    for answer in &answers {
        match turn.get(answer.as_str()) {
            _ if answer == "failed" => failed += 1,
            None => strangers += 1,
            // Once the next leader has answered, kube-proxy has the new slice.
            Some(i) if *i < now => late += 1,
            Some(i) => now = *i,
        }
    }
    took.sort();
    println!(
        "{} failovers, {} calls: {late} answers from a leader before, {strangers} from a pod that never led, \
         {failed} calls failed; delete to first answer of the next p50 {:?}, max {:?} (kubectl's own time included)",
        took.len(),
        answers.len(),
        took[took.len() / 2],
        took[took.len() - 1],
    );
    assert_eq!((late, strangers), (0, 0));
    assert_eq!(now, leaders.len() - 1, "the last leader answers");
    kubectl(&["delete", "namespace", NS, "--wait=false"], "");
}
