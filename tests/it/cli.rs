//! The command line as a user meets it: the real binary, real files, exit codes.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const BROKEN: &str = "\
apiVersion: workflow.kube-zen.io/v1alpha1
kind: JobFlow
metadata: {name: nightly, namespace: data}
spec:
  steps:
    - {name: extract, type: Manual}
    - name: load
      type: Manual
      dependencies: [extrct]
";

fn sound() -> String {
    BROKEN.replace("extrct", "extract")
}

/// A directory of its own for one test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Exit code and standard output.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_headworks"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_broken_flow_is_shown_with_the_line_that_is_meant() {
    let folder = Folder::new("text");
    folder.write("nightly.yaml", BROKEN);
    let (code, text) = folder.run(&["validate", "nightly.yaml"]);
    let expected = "\
error[HW201]: no step has this name: \"extrct\"
 --> nightly.yaml:9:22
  |
9 |       dependencies: [extrct]
  |                      ^^^^^^ spec.steps[1].dependencies[0]
  = help: did you mean \"extract\"?

nightly.yaml: JobFlow nightly: 1 error
";
    assert_eq!((code, text.as_str()), (1, expected));
}

#[test]
fn a_sound_flow_is_one_line_and_quiet_is_none() {
    let folder = Folder::new("sound");
    folder.write("a.yaml", &sound());
    let line = "a.yaml: JobFlow nightly: ok; plan: 2 steps, 2 levels, at most 1 in parallel, up to 0 pods\n";
    assert_eq!(folder.run(&["validate", "a.yaml"]), (0, line.to_owned()));
    assert_eq!(folder.run(&["validate", "-q", "a.yaml"]), (0, String::new()));
}

#[test]
fn json_says_what_the_webhook_says() {
    let folder = Folder::new("json");
    folder.write("a.yaml", BROKEN);
    let (code, text) = folder.run(&["validate", "--output", "json", "a.yaml"]);
    let list: Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!([{
        "file": "a.yaml", "document": 1, "kind": "JobFlow", "namespace": "data", "name": "nightly", "valid": false,
        "problems": [{
            "severity": "error", "code": "HW201", "reason": "FieldValueNotFound",
            "field": "spec.steps[1].dependencies[0]", "value": "extrct",
            "message": "Not found: \"extrct\": no step has this name; did you mean \"extract\"? (HW201)",
            "hint": "did you mean \"extract\"?", "line": 9, "column": 22
        }]
    }]);
    assert_eq!((code, list), (1, expected));
}

#[test]
fn github_gets_workflow_commands() {
    let folder = Folder::new("github");
    folder.write("a,b.yaml", BROKEN);
    let (code, text) = folder.run(&["validate", "--output=github", "a,b.yaml"]);
    let expected = "::error file=a%2Cb.yaml,line=9,col=22,endColumn=27,title=HW201::spec.steps[1].dependencies[0]: \
                    Not found: \"extrct\": no step has this name; did you mean \"extract\"? (HW201)\n";
    assert_eq!((code, text.as_str()), (1, expected));
}

#[test]
fn directories_are_read_by_name_and_other_kinds_passed_over() {
    let folder = Folder::new("directory");
    folder.write("flows/b/two.yml", &sound());
    folder.write("flows/a.yaml", &format!("{}---\nkind: ConfigMap\napiVersion: v1\n", sound()));
    folder.write("flows/readme.md", "a: [");
    let (code, text) = folder.run(&["validate", "flows"]);
    let files: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!((code, files), (0, vec!["flows/a.yaml", "flows/b/two.yml", "2 objects checked, 0 refused"]));
    assert!(text.ends_with("no problems\n"), "{text}");
}

#[test]
fn standard_input_and_lists_are_read() {
    let folder = Folder::new("stdin");
    let item = sound().replace('\n', "\n    ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  - {}\n", item.trim_end());
    let (code, text) = folder.run_with(&["validate", "-"], &list.replace("[extract]", "[extrct]"));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("<stdin>:12:"), "{text}");
}

#[test]
fn what_cannot_be_read_is_placed_and_does_not_hide_the_rest() {
    let folder = Folder::new("unreadable");
    folder.write("a.yaml", &format!("a: 1\na: 2\n---\n{BROKEN}"));
    let (code, text) = folder.run(&["validate", "a.yaml", "missing.yaml"]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("error: duplicate key \"a\", which stands in line 1 already\n --> a.yaml:2:1"),
        "{text}"
    );
    assert!(text.contains("a.yaml:12:22"), "{text}");
    assert!(text.contains("missing.yaml: cannot be read"), "{text}");
}

#[test]
fn colours_are_for_terminals_and_for_those_who_insist() {
    let folder = Folder::new("colour");
    folder.write("a.yaml", BROKEN);
    assert!(!folder.run(&["validate", "a.yaml"]).1.contains('\u{1b}'));
    assert!(folder.run(&["validate", "--color=always", "a.yaml"]).1.contains("\u{1b}[1;31merror[HW201]"));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_headworks"))
        .args(["explain", "--all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
}

#[test]
fn a_closed_pipe_changes_no_verdict() {
    let folder = Folder::new("pipe");
    folder.write("a.yaml", BROKEN);
    let mut child = Command::new(env!("CARGO_BIN_EXE_headworks"))
        .args(["validate", "a.yaml"])
        .current_dir(&folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_drawing_is_not_mixed_with_what_is_wrong() {
    let folder = Folder::new("drawing");
    folder.write("a.yaml", BROKEN);
    let output = Command::new(env!("CARGO_BIN_EXE_headworks"))
        .args(["graph", "a.yaml", "--format", "dot"])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with("error[HW201]: no step has this name: \"extrct\"\n --> a.yaml:9:22\n"),
        "{told}"
    );
}

#[test]
fn run_tells_what_it_wants_and_what_stops_it() {
    let folder = Folder::new("run");
    let missing = folder.0.join("kubeconfig");
    let output = Command::new(env!("CARGO_BIN_EXE_headworks"))
        .arg("run")
        .env("KUBECONFIG", &missing)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: no cluster: run inside one, or set KUBECONFIG"), "{told}");
    assert_eq!(told.matches(missing.to_str().unwrap()).count(), 1, "said once: {told}");

    let (code, text) = folder.run(&["run", "--log", "bogus=lots"]);
    assert!(code == 2 && text.contains("invalid value 'bogus=lots' for '--log <FILTER>'"), "{text}");
    let (code, text) = folder.run(&["run", "--listen", "9443"]);
    assert!(code == 2 && text.contains("write an IP address and a port, such as 0.0.0.0:9443"), "{text}");
    assert!(
        folder.run(&["run", "--help"]).1.contains("lame duck"),
        "deploy/base/deployment.yaml sends people there"
    );
}

#[test]
fn a_misspelt_kind_is_not_passed_over() {
    let folder = Folder::new("kind");
    folder.write("a.yaml", &sound().replace("JobFlow", "Jobflow"));
    let (code, text) = folder.run(&["validate", "a.yaml"]);
    let expected = "\
error[HW104]: must be \"JobFlow\", the only kind of workflow.kube-zen.io: \"Jobflow\"
 --> a.yaml:2:7
  |
2 | kind: Jobflow
  |       ^^^^^^^ kind
  = help: did you mean \"JobFlow\"?

a.yaml: Jobflow nightly: 1 error
";
    assert_eq!((code, text.as_str()), (1, expected));
    folder.write("a.yaml", &sound().replace("kind: JobFlow\n", ""));
    let (code, text) = folder.run(&["validate", "a.yaml"]);
    assert_eq!((code, text.contains("error[HW103]: nothing says what this is")), (1, true), "{text}");
}

#[test]
fn plan_shows_levels_and_the_end_after_a_failure() {
    let folder = Folder::new("plan");
    folder.write("a.yaml", &sound());
    let levels = "\
nightly: plan: 2 steps, 2 levels, at most 1 in parallel, up to 0 pods

level 1   extract  waits for approval
level 2   load     after extract; waits for approval
";
    assert_eq!(folder.run(&["plan", "a.yaml"]), (0, levels.to_owned()));
    let (code, text) = folder.run(&["plan", "a.yaml", "--fail", "extract"]);
    assert!(text.contains("  load     Skipped (UpstreamFailed)\n\nthe flow: Failed"), "{text}");
    assert_eq!(code, 0);
    let (code, text) = folder.run(&["plan", "a.yaml", "--fail", "extrct"]);
    assert_eq!((code, text.contains("did you mean \"extract\"?")), (2, true), "{text}");
}

#[test]
fn graph_draws_for_people_and_programs() {
    let folder = Folder::new("graph");
    folder.write("a.yaml", &sound());
    let tree = "nightly\n`- extract [manual]\n   `- load [manual]\n";
    assert_eq!(folder.run(&["graph", "a.yaml"]), (0, tree.to_owned()));
    assert!(folder.run(&["graph", "a.yaml", "--format", "dot"]).1.contains("  \"extract\" -> \"load\";\n"));
    assert!(folder.run(&["graph", "a.yaml", "--format", "mermaid"]).1.contains("  s0 --> s1\n"));
}

#[test]
fn codes_are_explained_in_any_spelling() {
    let folder = Folder::new("explain");
    let (code, text) = folder.run(&["explain", "hw201", "203"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("HW201: a dependency names no step\n"), "{text}");
    assert!(text.contains("\nHW203: "), "{text}");
    assert!(folder.run(&["explain"]).1.contains("HW2xx the graph\n  HW201  "));
    assert_eq!(folder.run(&["explain", "HW299"]).0, 2);
}

#[test]
fn the_printed_definition_is_the_one_in_deploy_and_small() {
    let folder = Folder::new("crd");
    let (code, text) = folder.run(&["crd"]);
    let deployed =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/crd.yaml")).unwrap();
    assert_eq!(code, 0);
    assert!(text == deployed, "run `headworks crd > deploy/base/crd.yaml`");
    assert!(text.len() < 200_000);
    let json: Value = serde_json::from_str(&folder.run(&["crd", "--output", "json"]).1).unwrap();
    let yaml = headworks::manifest::read(&text).remove(0).unwrap().value;
    assert_eq!(yaml, json, "kubectl reads the YAML as what the JSON says");
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = Folder::new("completions");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text) = folder.run(&["completions", shell]);
        assert!(code == 0 && text.contains("headworks"), "{shell}");
    }
}
