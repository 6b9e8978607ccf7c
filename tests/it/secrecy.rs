//! A key is in memory and in its Secret, and nowhere else: not in a log at the finest level, not in the environment,
//! not on the command line.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headworks_certs::Issued;

use crate::cluster::cluster;
use crate::program::{Ca, Program, call, files};

/// What would be found of a PEM key: parts of its lines, its last bytes in hexadecimal and as Rust prints them, and
/// base64 of base64, as a Secret has it.
fn traces(key: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    let parts = lines.iter().filter(|line| line.len() >= 16);
    let mut traces: BTreeSet<String> =
        parts.flat_map(|line| [&line[..16], &line[line.len() - 16..]]).map(str::to_owned).collect();
    let raw = STANDARD.decode(lines.concat()).unwrap();
    let (_, end) = raw.split_at(raw.len() - 16);
    traces.insert(end.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")));
    traces.insert(format!("{end:?}").trim_matches(['[', ']']).to_owned());
    traces.extend((0..3).map(|skip| STANDARD.encode(&lines[0][skip..])[4..36].to_owned()));
    traces
}

/// Everything that others on the machine, or whoever reads logs, can see of a process.
fn seen(pid: u32, log: &std::path::Path) -> Vec<(String, String)> {
    ["environ", "cmdline"]
        .map(|file| format!("/proc/{pid}/{file}"))
        .into_iter()
        .chain([log.display().to_string()])
        .map(|file| {
            let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            (file, text)
        })
        .collect()
}

fn unseen(seen: &[(String, String)], keys: &[String]) {
    for trace in keys.iter().flat_map(|key| traces(key)) {
        for (file, text) in seen {
            assert!(!text.contains(&trace), "a part of a key is in {file}");
        }
    }
}

#[tokio::test]
async fn a_mounted_key_is_seen_nowhere() {
    let ca = Ca::new();
    let program = Program::start(&ca, &["--log", "trace"]);
    let mut keys = vec![fs::read_to_string(program.mount.path().join("tls.key")).unwrap()];
    let mut mounted = |issued: &Issued, key: &str| {
        program.mount.swap(&[("tls.crt", &issued.cert), ("tls.key", key)]).unwrap();
        keys.push(issued.key.expose().to_owned());
    };
    // Good, of another certificate, cut in half, and where the certificate belongs: errors quote what they met.
    let (next, other) = (ca.issue(), ca.issue());
    program.caller(&ca).call(&call(0)).await.unwrap();
    mounted(&next, next.key.expose());
    program.reaches("headworks_cert_reloads_total{result=\"loaded\",reason=\"\"}", 2.0);
    mounted(&other, next.key.expose());
    program.reaches("headworks_cert_reloads_total{result=\"rejected\",reason=\"mismatch\"}", 1.0);
    mounted(&other, &other.key.expose()[..100]);
    program.reaches("headworks_cert_reloads_total{result=\"rejected\",reason=\"malformed_key\"}", 1.0);
    program.mount.swap(&[("tls.crt", other.key.expose()), ("tls.key", other.key.expose())]).unwrap();
    program
        .reaches("headworks_cert_reloads_total{result=\"rejected\",reason=\"malformed_certificate\"}", 1.0);
    program.mount.swap(&files(&other)).unwrap();
    program.reaches("headworks_cert_reloads_total{result=\"loaded\",reason=\"\"}", 3.0);
    program.caller(&ca).call(&call(0)).await.unwrap();
    // A caller that trusts somebody else, for a line that is written at the finer levels only.
    program.caller(&Ca::new()).call(&call(0)).await.unwrap_err();
    let failed = "headworks_webhook_handshake_failures_total{reason=\"tls\"}";
    program.reaches(failed, 1.0);
    let seen = seen(program.child.id(), &program.log);
    assert!(seen[2].1.contains("\"level\":\"DEBUG\""), "the finer levels were on");
    unseen(&seen, &keys);
}

#[test]
fn a_managed_key_is_seen_nowhere() {
    let cluster = cluster();
    let secret =
        cluster.must(&["-n", "headworks-system", "get", "secret", "headworks-tls", "-o", "json"], "");
    let secret: serde_json::Value = serde_json::from_str(&secret).unwrap();
    let mut keys = Vec::new();
    for value in secret["data"].as_object().unwrap().values() {
        let text = String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
        for section in
            text.replace("\\n", "\n").split("-----BEGIN ").filter(|part| part.contains("PRIVATE KEY"))
        {
            let (body, _) = section.split_once("-----END ").unwrap();
            keys.push(body.lines().skip(1).collect::<Vec<_>>().join("\n"));
        }
    }
    assert!(keys.len() >= 2, "those of the CA and of the certificate");
    let seen = seen(cluster.pid, &cluster.log);
    assert!(seen[1].1.contains("trace"), "the finest level was on: {}", seen[1].1);
    unseen(&seen, &keys);
}
