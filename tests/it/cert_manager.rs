//! `deploy/overlays/cert-manager` on a real API server with cert-manager's own CRDs.
//!
//! Its controllers are not here, so what they write is written by hand: the Secret as its certificates controller
//! writes it, the `caBundle` as its cainjector does, and the mount as kubelet does.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headworks_certs::Issued;
use headworks_testkit::Mount;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cluster::{Cluster, EMPTY_FLOW, down, eventually, json as parse, root, up};
use crate::program::{Ca, NAME, Program};

const NAMESPACE: &str = "headworks-system";
const ACCOUNT: &str = "system:serviceaccount:headworks-system:headworks";
const OURS: &str = "headworks-system/headworks-webhook";

fn install(cluster: &Cluster) {
    let crds = Command::new(root().join("hack/cert-manager-crds")).output().unwrap();
    assert!(crds.status.success(), "{}", String::from_utf8_lossy(&crds.stderr));
    let crds = String::from_utf8(crds.stdout).unwrap();
    for kind in ["certificates", "issuers"] {
        let file = format!("{}/cert-manager.io_{kind}.yaml", crds.trim());
        cluster.must(&["apply", "--server-side", "-f", &file], "");
    }
    let overlay = root().join("deploy/overlays/cert-manager");
    eventually("the kinds to be known", || {
        let kinds = "issuers.cert-manager.io,certificates.cert-manager.io";
        cluster.kubectl(&["get", kinds, "-A"], "").ok.then_some(())
    });
    // Strict: a field that the schemas do not have is an error.
    cluster.must(&["apply", "--validate=strict", "-k", overlay.to_str().unwrap()], "");
}

fn get(cluster: &Cluster, kind: &str, name: &str) -> Value {
    parse(&cluster.must(&["-n", NAMESPACE, "get", kind, name, "-o", "json"], ""))
}

/// `secretTemplate` aside, what `internal/controller/certificates/secrets.go` of cert-manager puts on a Secret.
fn secret(certificate: &Value, issued: &Issued, ca: &Ca) -> Value {
    let spec = &certificate["spec"];
    let names: Vec<&str> = spec["dnsNames"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": spec["secretName"], "namespace": NAMESPACE,
            "labels": {"controller.cert-manager.io/fao": "true"},
            "annotations": {
                "cert-manager.io/alt-names": names.join(","),
                "cert-manager.io/certificate-name": certificate["metadata"]["name"],
                "cert-manager.io/common-name": "",
                "cert-manager.io/ip-sans": "127.0.0.1",
                "cert-manager.io/issuer-group": spec["issuerRef"]["group"],
                "cert-manager.io/issuer-kind": spec["issuerRef"]["kind"],
                "cert-manager.io/issuer-name": spec["issuerRef"]["name"],
                "cert-manager.io/uri-sans": "",
            },
        },
        "data": {
            "tls.crt": STANDARD.encode(&issued.cert),
            "tls.key": STANDARD.encode(issued.key.expose()),
            "ca.crt": STANDARD.encode(ca.pem()),
        },
    })
}

/// What kubelet would write of a Secret, by the Deployment's volume.
fn mount(cluster: &Cluster, mount: &Mount) {
    let pod = &get(cluster, "deployment", "headworks")["spec"]["template"]["spec"];
    let volume = &pod["volumes"][0]["secret"];
    let secret = get(cluster, "secret", volume["secretName"].as_str().unwrap());
    let files: BTreeMap<&str, String> = volume["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let content = secret["data"][item["key"].as_str().unwrap()].as_str().unwrap();
            let content = String::from_utf8(STANDARD.decode(content).unwrap()).unwrap();
            (item["path"].as_str().unwrap(), content)
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    mount.swap(&files).unwrap();
}

/// What the cainjector does for the annotation; besides, the webhook is called by URL, because no Service is routed
/// here, and has as much time as a busy machine may need.
fn inject(cluster: &Cluster, port: u16) {
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        let configuration = get(cluster, kind, "headworks");
        let source = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
        assert_eq!(source, OURS);
        let certificate = get(cluster, "certificate", "headworks-webhook");
        let secret = get(cluster, "secret", certificate["spec"]["secretName"].as_str().unwrap());
        let webhooks = configuration["webhooks"].as_array().unwrap().iter().enumerate();
        let patch: Vec<Value> = webhooks
            .flat_map(|(at, webhook)| {
                let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
                let url = format!("https://127.0.0.1:{port}{path}");
                let client = json!({"url": url, "caBundle": secret["data"]["ca.crt"]});
                let replace =
                    |field, value| json!({"op": "replace", "path": format!("/webhooks/{at}/{field}"), "value": value});
                [replace("clientConfig", client), replace("timeoutSeconds", json!(30))]
            })
            .collect();
        cluster.must(&["patch", kind, "headworks", "--type=json", "-p", &json!(patch).to_string()], "");
    }
}

#[test]
fn the_overlay_fits_cert_managers_schemas_and_what_it_writes_is_served() {
    let name = format!("itcm-{}", std::process::id());
    let cluster = up(&name);
    install(&cluster);
    let certificate = get(&cluster, "certificate", "headworks-webhook");
    assert_eq!(certificate["spec"]["dnsNames"][0], NAME);
    let pod = get(&cluster, "deployment", "headworks")["spec"]["template"]["spec"].take();
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], certificate["spec"]["secretName"]);
    assert_eq!(pod["containers"][0]["args"], json!(["run", "--cert-mode", "mounted"]));
    for issuer in ["headworks-selfsigned", "headworks-ca"] {
        get(&cluster, "issuer", issuer);
    }

    let may = |verb: &str, resource: &str| {
        cluster.kubectl(&["auth", "can-i", verb, resource, "-n", NAMESPACE, "--as", ACCOUNT], "").ok
    };
    eventually("the rights to be known", || {
        (may("list", "jobs.batch") && may("update", "leases.coordination.k8s.io/headworks")).then_some(())
    });
    for verb in ["create", "update", "list", "watch", "patch", "delete"] {
        assert!(!may(verb, "secrets/headworks-tls"), "{verb}");
    }
    for configuration in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        assert!(!may("patch", &format!("{configuration}.admissionregistration.k8s.io/headworks")));
    }

    let ca = Ca::new();
    let mut names: Vec<String> = certificate["spec"]["dnsNames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    names.push("127.0.0.1".to_owned());
    let issue = || {
        let issued = ca.issue_for(&names, SignedDuration::ZERO);
        cluster.must(&["apply", "-f", "-"], &secret(&certificate, &issued, &ca).to_string());
    };
    issue();
    let mounted = Arc::new(Mount::new().unwrap());
    mount(&cluster, &mounted);
    let program = Program::start_on(mounted.clone(), &[], &[]);
    inject(&cluster, program.listen);
    // Until the API server knows the bundle its calls fail, and are counted.
    let failed = || -> f64 {
        let counts = cluster.must(&["get", "--raw", "/metrics"], "");
        let lines = counts.lines().filter(|line| {
            line.starts_with("apiserver_admission_webhook_rejection_count")
                && line.contains("calling_webhook_error")
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let refused = || cluster.kubectl(&["apply", "--dry-run=server", "-f", "-"], EMPTY_FLOW).err;
    eventually("the API server to call the webhook", || refused().contains("HW108").then_some(()));
    let before = failed();
    for renewals in 1..=3_u32 {
        issue();
        mount(&cluster, &mounted);
        program
            .reaches("headworks_cert_reloads_total{result=\"loaded\",reason=\"\"}", f64::from(renewals + 1));
        let said = refused();
        assert!(said.contains("HW108"), "{said}");
    }
    assert!((failed() - before).abs() < f64::EPSILON, "a call failed");
    down(&name);
}
