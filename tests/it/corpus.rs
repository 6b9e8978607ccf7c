//! The specification by example: `tests/corpus/` holds manifests and what has to be said of them.
//!
//! One text from everywhere: the command line, the webhook in process, `kubectl apply` and `kubectl apply
//! --dry-run=server` against a real API server. `BLESS=1 cargo test --test it corpus` writes the expected files anew
//! from the command line's answer; read the difference before committing it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use headworks::admission::{JobFlows, Services};
use headworks::flows::rules;
use headworks::problem::code;
use headworks::problem::{Problem, warning_line};
use headworks_webhook::{Admit, Phase, respond};
use serde_json::{Value, json};

use crate::cluster::{Cluster, bullets, cluster, root, warnings};
use crate::command::Said;

/// The most bullets and warnings that an API server is given.
const MOST_CAUSES: usize = headworks::admission::findings::MOST_CAUSES;
const MOST_WARNINGS: usize = headworks::admission::findings::MOST_WARNINGS;

/// What is said of a manifest: errors as `field: message`, warnings likewise.
#[derive(Debug, Default, PartialEq)]
struct Verdict {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Verdict {
    fn text(&self) -> String {
        let errors = self.errors.iter().map(|line| format!("error: {line}\n"));
        let warnings = self.warnings.iter().map(|line| format!("warning: {line}\n"));
        errors.chain(warnings).collect()
    }

    fn parse(text: &str) -> Self {
        let lines =
            |prefix| text.lines().filter_map(move |line| line.strip_prefix(prefix)).map(str::to_owned);
        Self { errors: lines("error: ").collect(), warnings: lines("warning: ").collect() }
    }

    /// As admission tells it: capped, and each warning short enough for one line.
    fn told(&self) -> Self {
        let cap = |lines: &[String], most: usize, prefix: &str| {
            let mut told: Vec<String> = lines.iter().take(most).cloned().collect();
            if lines.len() > most {
                told.push(format!("{prefix}and {} more; `headworks validate` shows all", lines.len() - most));
            }
            told
        };
        let short: Vec<String> = self
            .warnings
            .iter()
            .map(|line| {
                line.split_once(": ").map_or_else(|| line.clone(), |(field, rest)| warning_line(field, rest))
            })
            .collect();
        Self { errors: cap(&self.errors, MOST_CAUSES, "spec: "), warnings: cap(&short, MOST_WARNINGS, "") }
    }
}

fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/corpus").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}

fn expected(manifest: &Path) -> Verdict {
    let file = manifest.with_extension("txt");
    let said = command_line(manifest);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, said.text()).unwrap();
    }
    let expected = Verdict::parse(&std::fs::read_to_string(&file).unwrap_or_default());
    assert_eq!(said.text(), expected.text(), "the command line on {}", manifest.display());
    expected
}

/// What `headworks validate --output json` says.
fn command_line(manifest: &Path) -> Verdict {
    let output = Command::new(env!("CARGO_BIN_EXE_headworks"))
        .args(["validate", "--output", "json"])
        .arg(manifest)
        .output()
        .unwrap();
    let documents: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{}: {error}: {}", manifest.display(), String::from_utf8_lossy(&output.stderr))
    });
    let mut verdict = Verdict::default();
    for problem in documents.iter().flat_map(|document| document["problems"].as_array().unwrap()) {
        let line =
            format!("{}: {}", problem["field"].as_str().unwrap(), problem["message"].as_str().unwrap());
        match problem["severity"].as_str().unwrap() {
            "error" => verdict.errors.push(line),
            _ => verdict.warnings.push(line),
        }
        assert!(problem["line"].as_u64().is_some_and(|line| line > 0), "no place for {problem}");
    }
    assert_eq!(output.status.code(), Some(i32::from(!verdict.errors.is_empty())), "{}", manifest.display());
    verdict
}

/// What the webhook says of the same bytes, without a cluster.
fn in_process(manifest: &Path) -> Verdict {
    let text = std::fs::read_to_string(manifest).unwrap();
    let documents = headworks::manifest::read(&text);
    let mut verdict = Verdict::default();
    for object in
        documents.iter().filter_map(|document| document.as_ref().ok()).map(|document| &document.value)
    {
        let (admit, group, resource): (&dyn Admit, _, _) = match object["kind"].as_str() {
            Some("Service") => (&Services::default(), "", "services"),
            _ => (&JobFlows::default(), "workflow.kube-zen.io", "jobflows"),
        };
        let review = |object: &Value| {
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "1", "operation": "CREATE", "userInfo": {"username": "corpus"}, "object": object,
                "kind": {"group": group, "version": "v1", "kind": object["kind"]},
                "resource": {"group": group, "version": "v1", "resource": resource},
            }})
            .to_string()
        };
        let ask = |phase, object: &Value| -> Value {
            serde_json::from_slice(&respond(admit, phase, review(object).as_bytes())).unwrap()
        };
        let mut answer = ask(Phase::Mutate, object);
        if answer["response"]["allowed"] == true {
            let mut object = object.clone();
            if let Some(patch) = answer["response"]["patch"].as_str() {
                use base64::Engine;
                let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
                json_patch::patch(&mut object, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap())
                    .unwrap();
            }
            answer = ask(Phase::Validate, &object);
            assert_eq!(answer["response"]["allowed"], true, "sound once and not twice: {answer}");
        }
        for cause in answer["response"]["status"]["details"]["causes"].as_array().into_iter().flatten() {
            verdict.errors.push(format!(
                "{}: {}",
                cause["field"].as_str().unwrap(),
                cause["message"].as_str().unwrap()
            ));
        }
        let warnings = answer["response"]["warnings"].as_array().into_iter().flatten();
        verdict.warnings.extend(warnings.map(|warning| warning.as_str().unwrap().to_owned()));
    }
    verdict
}

fn by_kubectl(said: &Said) -> Verdict {
    let warnings = warnings(said).into_iter().filter(|line| !line.starts_with("plan: "));
    Verdict { errors: bullets(said), warnings: warnings.collect() }
}

/// Hold every manifest of a folder against all four ways; `reject` says how it has to end.
fn hold(folder: &str, least: usize, reject: bool) {
    let cluster = cluster();
    let _ = cluster.kubectl(&["create", "namespace", "corpus"], "");
    let files = manifests(folder);
    assert!(files.len() >= least, "{} manifests in {folder}, at least {least} are wanted", files.len());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let chunks = files.chunks(files.len().div_ceil(4));
        let threads: Vec<_> = chunks.map(|files| scope.spawn(move || each(cluster, files, reject))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

fn each(cluster: &Cluster, files: &[PathBuf], reject: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy();
        let Ok(expected) = std::panic::catch_unwind(|| expected(file)) else {
            wrong.push(format!("{name}: the command line says something else, see above"));
            continue;
        };
        if expected.errors.is_empty() == reject {
            wrong.push(format!("{name}: {} errors", expected.errors.len()));
        }
        let told = expected.told();
        let hold = |way: &str, said: &Verdict| {
            (*said != told)
                .then(|| format!("--- {name}, {way}:\n{}--- expected:\n{}", said.text(), told.text()))
        };
        wrong.extend(hold("webhook in process", &in_process(file)));
        let path = file.to_str().unwrap();
        for dry in [true, false] {
            let mut args = vec!["apply", "-n", "corpus", "-f", path];
            if dry {
                args.push("--dry-run=server");
            }
            let said = cluster.kubectl(&args, "");
            let way = if dry { "kubectl apply --dry-run=server" } else { "kubectl apply" };
            let differs = hold(way, &by_kubectl(&said));
            if differs.is_some() || said.ok == reject {
                wrong.extend(differs);
                wrong.push(format!("{name}: kubectl: {}{}", said.out, said.err));
            }
        }
    }
    wrong
}

#[test]
fn what_is_wrong_is_refused_with_one_text_everywhere() {
    hold("reject", 350, true);
}

#[test]
fn what_is_right_is_admitted_with_one_text_everywhere() {
    hold("accept", 80, false);
}

/// What only the command line says: of a kind that no API server has, of what a cluster would know.
#[test]
fn what_no_cluster_is_asked_is_told_offline() {
    for file in manifests("offline") {
        assert_ne!(expected(&file), Verdict::default(), "nothing is told of {}", file.display());
    }
}

/// The one exception: kubectl's strict decoding finds unknown fields outside templates before any webhook is asked.
/// Offline they are told with did-you-mean; `NAME.kubectl` holds what the API server says instead.
#[test]
fn unknown_fields_are_the_api_servers_to_refuse() {
    let cluster = cluster();
    for file in manifests("strict") {
        let expected = expected(&file);
        assert!(!expected.errors.is_empty());
        let said = cluster.kubectl(&["apply", "-f", file.to_str().unwrap()], "");
        assert!(!said.ok);
        let pinned = file.with_extension("kubectl");
        let text = said.err.replace(file.to_str().unwrap(), "FILE");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&pinned, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&pinned).unwrap_or_default(), "{}", file.display());
        assert!(text.contains("unknown field") && !text.contains("(HW"), "{text}");
    }
}

/// Whether a refusal is ours alone: reserved keys and names, images that nobody could pull, Jobs that never start.
fn is_ours_alone(problem: &Problem) -> bool {
    [code::RESERVED_LABEL, code::RESERVED_NAME, code::IMAGE].contains(&problem.code)
        || problem.field.to_string().ends_with(".template.spec.suspend")
}

/// The templates of a file's flows that say all by themselves, and whether each is refused.
fn templates(file: &Path) -> Vec<(Value, bool)> {
    let mut found = Vec::new();
    for document in headworks::manifest::read(&std::fs::read_to_string(file).unwrap()).into_iter().flatten() {
        let flow = document.value;
        let problems = rules::flow(&flow, &rules::Options::default()).problems;
        for (i, step) in flow["spec"]["steps"].as_array().into_iter().flatten().enumerate() {
            let text = step["template"].to_string();
            let by_itself =
                step["template"].is_object() && !text.contains("{{") && !text.contains("${parameters.");
            let place = format!("spec.steps[{i}].template.");
            let inside =
                |problem: &&Problem| problem.is_error() && problem.field.to_string().starts_with(&place);
            let errors: Vec<&Problem> = problems.iter().filter(inside).collect();
            if by_itself && step["type"] != "Manual" && !errors.iter().any(|problem| is_ours_alone(problem)) {
                found.push((step["template"].clone(), !errors.is_empty()));
            }
        }
    }
    found
}

/// The API server takes the Job of every template that is admitted, and of none that is refused.
#[test]
fn templates_are_judged_as_the_api_server_judges_jobs() {
    let (mut jobs, mut wanted, mut seen) = (String::new(), BTreeMap::new(), HashSet::new());
    for file in ["accept", "reject"].into_iter().flat_map(manifests) {
        for (mut job, refused) in templates(&file) {
            if !seen.insert(job.to_string()) {
                continue;
            }
            let name = format!("job-{}", wanted.len());
            for (field, value) in [("apiVersion", "batch/v1"), ("kind", "Job")] {
                if job[field].is_null() {
                    job[field] = json!(value);
                }
            }
            job["metadata"]["name"] = json!(name);
            jobs.push_str(&format!("{job}\n---\n"));
            wanted.insert(name, (file.clone(), refused));
        }
    }
    let said = cluster().kubectl(&["create", "--dry-run=server", "--validate=ignore", "-f", "-"], &jobs);
    let taken: HashSet<&str> = said.out.lines().filter_map(|line| line.split(['/', ' ']).nth(1)).collect();
    let wrong: Vec<String> = wanted
        .iter()
        .filter(|(name, (_, refused))| taken.contains(name.as_str()) == *refused)
        .map(|(name, (file, refused))| format!("{name} of {}: refused by us: {refused}", file.display()))
        .collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), said.err);
    assert!(taken.len() > 100 && wanted.len() - taken.len() > 60, "{} of {}", taken.len(), wanted.len());
}

#[test]
fn every_case_has_a_name_of_its_own_and_every_text_its_case() {
    let mut names = HashSet::new();
    for file in ["accept", "reject", "strict", "offline"].into_iter().flat_map(manifests) {
        for document in
            headworks::manifest::read(&std::fs::read_to_string(&file).unwrap()).into_iter().flatten()
        {
            let name = document.value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            assert!(names.insert(name.clone()), "{}: another case has the name {name:?}", file.display());
        }
        let folder = file.parent().unwrap();
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            assert!(entry.with_extension("yaml").exists(), "{} belongs to no case", entry.display());
        }
    }
}
