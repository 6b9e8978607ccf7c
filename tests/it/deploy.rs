//! `deploy/` asks for what the program does and the scripts build. That it works is for tests/e2e.

use std::path::Path;
use std::process::Command;

use headworks::manifest;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn objects(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("deploy/base").join(file)).unwrap();
    manifest::read(&text).into_iter().map(|document| document.unwrap().value).collect()
}

fn said_by(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env_remove("POD_NAMESPACE")
        .env_remove("HEADWORKS_LISTEN")
        .env_remove("HEADWORKS_PROBES")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The default of a flag of `headworks run`, as its help tells it.
fn default_of(help: &str, flag: &str) -> String {
    let (_, from) = help.split_once(&format!("--{flag} <")).unwrap();
    let (_, from) = from.split_once("[default: ").unwrap();
    from.split_once(']').unwrap().0.to_owned()
}

#[test]
fn the_defaults_of_run_are_what_the_manifests_name() {
    let help = said_by(env!("CARGO_BIN_EXE_headworks"), &["run", "--help"]);
    let (name, namespace) = (default_of(&help, "service"), default_of(&help, "namespace"));
    let service = objects("service.yaml").remove(0);
    assert_eq!(service["metadata"]["name"], name);
    let configurations = objects("webhook.yaml");
    for configuration in &configurations {
        assert_eq!(configuration["metadata"]["name"], default_of(&help, "webhook-configuration"));
        for webhook in configuration["webhooks"].as_array().unwrap() {
            assert_eq!(webhook["clientConfig"]["service"]["name"], name);
            assert_eq!(webhook["clientConfig"]["service"]["namespace"], namespace);
        }
    }
    assert_eq!(objects("namespace.yaml")[0]["metadata"]["name"], namespace);

    let container = objects("deployment.yaml")[0]["spec"]["template"]["spec"]["containers"][0].take();
    let port = |name: &str| {
        let mut ports = container["ports"].as_array().unwrap().iter();
        ports.find(|port| port["name"] == name).unwrap()["containerPort"].to_string()
    };
    for (flag, name) in [("listen", "webhook"), ("probes", "probes")] {
        assert_eq!(default_of(&help, flag).rsplit(':').next().unwrap(), port(name));
    }
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "webhook");

    let rules: Vec<Value> = objects("rbac.yaml")
        .into_iter()
        .filter(|object| object["metadata"]["name"] == "headworks")
        .flat_map(|mut object| object["rules"].take().as_array().cloned().unwrap_or_default())
        .collect();
    let named = |resource: &str| {
        let has = |rule: &&Value| rule["resources"].as_array().unwrap().iter().any(|one| one == resource);
        rules.iter().filter(has).find_map(|rule| rule["resourceNames"][0].as_str()).unwrap()
    };
    assert_eq!(named("secrets"), default_of(&help, "cert-secret"));
    assert_eq!(named("mutatingwebhookconfigurations"), default_of(&help, "webhook-configuration"));
    assert_eq!(named("validatingwebhookconfigurations"), default_of(&help, "webhook-configuration"));
}

#[test]
fn the_image_of_the_deployment_is_the_one_that_is_built() {
    let image = said_by(root().join("hack/build-image"), &["--name"]);
    let deployment = objects("deployment.yaml").remove(0);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], image.trim_end());
}
