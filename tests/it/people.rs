//! What people do with flows from the command line, on a real API server. Statuses are written as the engine writes
//! them, through the subresource.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use headworks::flows::job_name::job_name;
use serde_json::{Value, json};

use crate::cluster::{Cluster, cluster, eventually, json as parsed};
use crate::command::{self, Said};

/// A flow of two Jobs with a Manual step between them, in a namespace of its own.
struct Flow {
    cluster: &'static Cluster,
    namespace: String,
}

impl Flow {
    fn new(namespace: &str) -> Self {
        let cluster = cluster();
        cluster.must(&["create", "namespace", namespace], "");
        let job = |name: &str, after: &[&str]| {
            json!({"name": name, "dependencies": after, "template": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.invalid/x:1"}]}}}}})
        };
        let flow = json!({
            "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
            "metadata": {"name": "nightly", "namespace": namespace},
            // Suspended, so that nothing but this test moves it.
            "spec": {"suspend": true, "steps": [
                job("extract", &[]),
                {"name": "sign-off", "type": "Manual", "message": "look at the report", "dependencies": ["extract"]},
                job("publish", &["sign-off"]),
            ]},
        });
        cluster.must(&["apply", "-f", "-"], &flow.to_string());
        Self { cluster, namespace: namespace.to_owned() }
    }

    fn kubectl(&self, args: &[&str], input: &str) -> String {
        self.cluster.must(&[&["-n", &self.namespace], args].concat(), input)
    }

    fn get(&self, what: &str) -> Value {
        parsed(&self.kubectl(&["get", what, "-o", "json"], ""))
    }

    /// Write a status over whatever is there.
    fn status(&self, phase: &str, steps: &Value) {
        let status =
            json!({"status": {"phase": phase, "startTime": "2026-01-01T00:00:00.000000Z", "steps": steps}});
        let status = status.to_string();
        self.kubectl(&["patch", "jf", "nightly", "--subresource=status", "--type=merge", "-p", &status], "");
    }

    fn headworks(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headworks"));
        command.args(args).args(["-n", &self.namespace]).env("KUBECONFIG", &self.cluster.kubeconfig);
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        command::run(&mut self.headworks(args), "")
    }

    /// What the command says, which has to work.
    fn says(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert!(said.ok, "{args:?}: {}", said.err);
        said.out
    }

    /// What the command complains of.
    fn fails(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert!(!said.ok, "{args:?}: {}", said.out);
        said.err
    }
}

fn step(name: &str, phase: &str) -> Value {
    json!({"name": name, "phase": phase, "attempt": 1, "startTime": "2026-01-01T00:00:00.000000Z"})
}

#[test]
fn a_step_is_approved_by_who_admission_says_and_only_once() {
    let flow = Flow::new("people-approve");
    assert_eq!(
        flow.says(&["approve", "nightly", "sign-off"]),
        "approved sign-off of nightly (recorded as kubernetes-admin); the flow will not wait when it gets there\n"
            .replace("kubernetes-admin", &user(&flow))
    );
    let annotations = &flow.get("jf/nightly")["metadata"]["annotations"];
    assert_eq!(annotations["approved.workflow.kube-zen.io/sign-off"], "true");
    assert_eq!(annotations["approved-by.workflow.kube-zen.io/sign-off"], user(&flow));
    // Again is no harm, the contrary a change of mind.
    assert!(flow.says(&["approve", "jobflow/nightly", "sign-off"]).contains("is approved already, by "));
    let rejected = flow.says(&["reject", "nightly", "sign-off"]);
    assert!(rejected.starts_with("rejected sign-off of nightly, which was approved before ("), "{rejected}");
    assert_eq!(
        flow.get("jf/nightly")["metadata"]["annotations"]["approved.workflow.kube-zen.io/sign-off"],
        "false"
    );
    let mut done = step("sign-off", "Failed");
    done["approvedBy"] = json!("jane");
    flow.status("Running", &json!([done]));
    assert_eq!(
        flow.fails(&["approve", "nightly", "sign-off"]),
        "error: the step \"sign-off\" of nightly is Failed already (decided by jane); that is final\n"
    );
}

/// Who the tests are to the API server.
fn user(flow: &Flow) -> String {
    let who = parsed(&flow.cluster.must(&["auth", "whoami", "-o", "json"], ""));
    who["status"]["userInfo"]["username"].as_str().unwrap().to_owned()
}

#[test]
fn mistakes_are_answered_with_what_was_meant() {
    let flow = Flow::new("people-mistakes");
    let cases: [(&[&str], &str); 7] = [
        (
            &["approve", "nigthly", "sign-off"],
            "error: there is no JobFlow \"nigthly\" in the namespace \"people-mistakes\"; did you mean \"nightly\"?\n",
        ),
        (
            &["approve", "nightly", "sign-of"],
            "error: nightly has no step \"sign-of\"; did you mean \"sign-off\"?\n",
        ),
        (
            &["reject", "nightly", "extract"],
            "error: the step \"extract\" of nightly runs a Job, nobody has to approve it; its Manual steps: sign-off\n",
        ),
        (&["why", "nightly", "publsh"], "error: nightly has no step \"publsh\"; did you mean \"publish\"?\n"),
        (
            &["logs", "nightly", "sign-off"],
            "error: the step \"sign-off\" is Manual: it has no pod, and no logs\n",
        ),
        (
            &["logs", "nightly", "extract"],
            "error: step \"extract\" has not started; see: headworks why -n people-mistakes nightly extract\n",
        ),
        (
            &["logs", "nightly"],
            "error: no step of nightly has logs; see: headworks status -n people-mistakes nightly\n",
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(flow.fails(args), expected);
    }
    // The cluster itself.
    let said = flow.fails(&["status", "nightly", "--context", "nowhere"]);
    assert!(said.starts_with("error: cannot use this kubeconfig: failed to load current context"), "{said}");
    let said = flow.fails(&["status", "nightly", "--kubeconfig", "/nowhere"]);
    assert!(
        said.starts_with("error: cannot use the kubeconfig /nowhere: failed to read kubeconfig"),
        "{said}"
    );
    let dead = std::fs::read_to_string(&flow.cluster.kubeconfig).unwrap();
    let server = dead.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
    let file = flow.cluster.kubeconfig.with_file_name("dead.kubeconfig");
    std::fs::write(&file, dead.replace(server, "https://127.0.0.1:1")).unwrap();
    let said = flow.fails(&["status", "nightly", "--kubeconfig", file.to_str().unwrap()]);
    assert!(said.contains("the API server at https://127.0.0.1:1/ cannot be reached: "), "{said}");
    assert!(said.contains("Connection refused") && said.contains("is it the right --context?"), "{said}");
}

#[test]
fn of_people_who_decide_at_once_each_decides_on_what_the_other_left() {
    let flow = Flow::new("people-race");
    flow.status("Paused", &json!([step("extract", "Succeeded"), step("sign-off", "PendingApproval")]));
    let children: Vec<Child> = ["approve", "reject", "approve", "reject"]
        .map(|verb| {
            let mut command = flow.headworks(&[verb, "nightly", "sign-off"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .into();
    let mut out = String::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        out += &String::from_utf8(output.stdout).unwrap();
    }
    // Exactly one was the first to decide.
    let first = out.lines().filter(|line| !line.contains("before") && !line.contains("already")).count();
    assert_eq!(first, 1, "{out}");
}

#[test]
fn status_is_a_list_where_nobody_looks() {
    let flow = Flow::new("people-status");
    assert_eq!(
        flow.says(&["status", "nightly"]),
        "nightly  no status yet\n\
         headworks has not looked at it; does it run? kubectl -n headworks-system get pods\n\n\
         extract   Pending\n\
         sign-off  Pending    after extract\n\
         publish   Pending    after sign-off\n"
    );
    let mut extract = step("extract", "Succeeded");
    extract["completionTime"] = json!("2026-01-01T00:01:03.000000Z");
    flow.status("Paused", &json!([extract, step("sign-off", "PendingApproval")]));
    let said = flow.says(&["status", "nightly"]);
    assert!(said.contains("\nextract   Succeeded          1m03s\n"), "{said}");
    assert!(said.ends_with("\nto go on: headworks approve -n people-status nightly sign-off\n"), "{said}");
}

#[test]
fn watching_tells_what_changes_and_ends_with_the_flow() {
    for (namespace, end, code) in [("people-watch", "Succeeded", 0), ("people-watch-fail", "Failed", 1)] {
        let flow = Flow::new(namespace);
        flow.status("Running", &json!([step("extract", "Running")]));
        let mut watch = flow.headworks(&["status", "nightly", "--watch"]);
        let mut child = watch.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        lines.until("publish   Pending");
        let mut extract = step("extract", "Succeeded");
        extract["completionTime"] = json!("2026-01-01T00:01:03.000000Z");
        flow.status("Paused", &json!([extract, step("sign-off", "PendingApproval")]));
        lines.until("extract  Succeeded after 1m03s");
        lines.until("sign-off  PendingApproval  look at the report");
        lines.until("nightly  Paused");
        flow.status(end, &json!([extract, step("sign-off", end)]));
        lines.until(&format!("nightly  {end}"));
        assert_eq!(exit_code(&mut child), code);
    }
}

#[test]
fn a_flow_that_is_deleted_while_it_is_watched_is_told() {
    let flow = Flow::new("people-deleted");
    flow.status("Running", &json!([step("extract", "Running")]));
    let mut watch = flow.headworks(&["status", "nightly", "-w"]);
    let mut child = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    lines.until("publish   Pending");
    flow.kubectl(&["delete", "jf", "nightly"], "");
    assert_eq!(exit_code(&mut child), 2);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "error: nightly was deleted\n");
}

#[test]
fn on_a_terminal_it_is_drawn_over_and_fits() {
    let flow = Flow::new("people-terminal");
    flow.status("Running", &json!([step("extract", "Running")]));
    let command = format!(
        "stty cols 44 rows 24; exec {} status nightly --watch -n people-terminal",
        env!("CARGO_BIN_EXE_headworks")
    );
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("KUBECONFIG", &flow.cluster.kubeconfig)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    lines.until("`- extract  ");
    let mut extract = step("extract", "Failed");
    extract["message"] = json!("it went wrong in a way that takes more words than there is room for");
    flow.status("Failed", &json!([extract]));
    let told = lines.until("`- extract        Failed");
    let told = told.replace("\u{1b}[K", "");
    assert!(told.trim_end().chars().count() <= 44 && told.contains(".."), "{told:?}");
    // The second drawing began where the first did.
    let all = lines.all().join("\n");
    assert!(all.contains("F\u{1b}[?7l") || all.contains("\u{1b}[?7l\u{1b}["), "{all:?}");
    assert_eq!(exit_code(&mut child), 1);
}

/// A Job of `extract`, as the engine makes it; its pod, when the Job controller has made one.
fn job(flow: &Flow) -> String {
    let uid = flow.get("jf/nightly")["metadata"]["uid"].clone();
    let name = job_name("nightly", uid.as_str().unwrap(), "extract", 1, None);
    let labels = json!({
        "workflow.kube-zen.io/flow": "nightly", "workflow.kube-zen.io/step": "extract",
        "workflow.kube-zen.io/managed-by": "zen-flow",
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "labels": labels, "annotations": {"workflow.kube-zen.io/attempt": "1"},
            "ownerReferences": [{"apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": "nightly",
                                 "uid": uid, "controller": true}],
        },
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.invalid/x:1"}]}}},
    });
    flow.kubectl(&["create", "-f", "-"], &job.to_string());
    let pod = eventually("the Job controller to make a pod", || {
        let pods = flow.get("pods");
        Some(pods["items"][0]["metadata"]["name"].as_str()?.to_owned())
    });
    eventually("the Job controller to count it", || {
        (flow.get(&format!("job/{name}"))["status"]["active"] == 1).then_some(())
    });
    pod
}

#[test]
fn why_tells_what_keeps_a_step_from_the_live_cluster() {
    let flow = Flow::new("people-why");
    let said = flow.says(&["why", "nightly", "publish"]);
    assert!(said.contains("\nwhy:  headworks has not looked at this flow\n"), "{said}");
    let waits = |name: &str| json!({"name": name, "phase": "Pending", "waiting": {"reason": "Dependencies"}});
    flow.status("Running", &json!([{"name": "extract", "phase": "Skipped"}]));
    let said = flow.fails(&["logs", "nightly", "extract"]);
    assert!(said.starts_with("error: step \"extract\" is Skipped, and it has no Job; see: "), "{said}");
    flow.status("Running", &json!([step("extract", "Running"), waits("sign-off"), waits("publish")]));
    let said = flow.says(&["why", "nightly", "publish"]);
    assert!(said.contains("\nwhy:  it waits for extract (Running for "), "{said}");
    assert!(said.contains("\ndo:   headworks why -n people-why nightly extract\n"), "{said}");

    let pod = job(&flow);
    let job = pod.rsplit_once('-').unwrap().0;
    let attempts = format!("\nattempts\n  1  {job}  1 active\n");
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [{
        "name": "main", "image": "registry.invalid/x:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
    }]}});
    flow.kubectl(
        &["patch", "pod", &pod, "--subresource=status", "--type=merge", "-p", &status.to_string()],
        "",
    );
    let said = flow.says(&["why", "nightly", "extract"]);
    for text in [
        "why:  the image \"registry.invalid/x:1\" of container \"main\" cannot be pulled: Back-off pulling image\n",
        &attempts,
        &format!("\npods of the last attempt\n  {pod}  Pending\n    main  waiting: ImagePullBackOff\n"),
    ] {
        assert!(said.contains(text), "{said}");
    }
    // The Job controller tells what it did; its events come a moment later.
    eventually("the events of the Job", || {
        flow.says(&["why", "nightly", "extract"])
            .contains(&format!("SuccessfulCreate  job/{job}: "))
            .then_some(())
    });
    let said = flow.fails(&["logs", "nightly", "extract"]);
    assert!(
        said.starts_with("error: no container of step \"extract\" has started; see: headworks why"),
        "{said}"
    );
    let said = flow.fails(&["logs", "nightly", "extract", "--attempt", "2"]);
    assert_eq!(said, "error: step \"extract\" has no attempt 2; there are: 1\n");
}

#[test]
fn who_may_not_look_at_pods_is_told_all_the_rest() {
    let flow = Flow::new("people-rights");
    flow.status("Running", &json!([step("extract", "Running")]));
    let pod = job(&flow);
    let attempts = format!("\nattempts\n  1  {}  1 active\n", pod.rsplit_once('-').unwrap().0);
    flow.kubectl(
        &["create", "role", "r", "--verb=get,list,watch", "--resource=jobflows.workflow.kube-zen.io,jobs"],
        "",
    );
    flow.kubectl(&["create", "serviceaccount", "dev"], "");
    flow.kubectl(&["create", "rolebinding", "r", "--role=r", "--serviceaccount=people-rights:dev"], "");
    let token = flow.kubectl(&["create", "token", "dev"], "");
    let file = flow.cluster.kubeconfig.with_file_name("dev.kubeconfig");
    std::fs::copy(&flow.cluster.kubeconfig, &file).unwrap();
    let (config, file) = (format!("--kubeconfig={}", file.display()), file.to_str().unwrap());
    for args in [
        &["config", "set-credentials", "dev", &format!("--token={}", token.trim())][..],
        &["config", "set-context", "--current", "--user=dev"][..],
    ] {
        flow.cluster.must(&[&[config.as_str()], args].concat(), "");
    }
    let said = eventually("the rights to be known", || {
        let said = flow.run(&["why", "nightly", "extract", "--kubeconfig", file]);
        said.ok.then_some(said.out)
    });
    assert!(said.contains(&attempts), "{said}");
    assert!(said.contains("\nnot seen\n  pods: pods is forbidden: User "), "{said}");
    let said = flow.fails(&["approve", "nightly", "sign-off", "--kubeconfig", file]);
    assert!(
        said.contains("cannot patch resource") && said.contains("ask whoever gives out rights"),
        "{said}"
    );
}

/// The lines that a running command has printed, as they come.
struct Lines {
    come: mpsc::Receiver<String>,
    read: std::cell::RefCell<Vec<String>>,
}

impl Lines {
    fn of(stdout: impl Read + Send + 'static) -> Self {
        let (send, come) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { come, read: std::cell::RefCell::default() }
    }

    /// The next line with this text.
    fn until(&self, text: &str) -> String {
        loop {
            let line = self.come.recv_timeout(Duration::from_mins(1));
            let line =
                line.unwrap_or_else(|_| panic!("no line with {text:?} after {:#?}", self.read.borrow()));
            self.read.borrow_mut().push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Every line until the end.
    fn all(&self) -> Vec<String> {
        let mut all = self.read.borrow().clone();
        all.extend(self.come.iter());
        all
    }
}

fn exit_code(child: &mut Child) -> i32 {
    eventually("the command to end", || child.try_wait().unwrap()).code().unwrap()
}
