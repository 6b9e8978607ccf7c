//! Artifacts: sources and paths.

use serde_json::Value;

use super::location::{header_list, s3, url};
use super::shared::{Here, key_ref, names};
use crate::flows::api::{
    Archive, ArchiveFormat, Compression, InputArtifact, JobTemplate, OutputArtifact, Step,
};
use crate::flows::rules::Subject;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// The folder of an input without a path, as in zen-flow.
const DEFAULT_FOLDER: &str = "/tmp/artifacts";

/// HW425: nothing moves artifacts yet, so whatever asks for one is refused. The version that moves them takes out this
/// function and its call; every other rule about artifacts is in force already.
pub(super) fn unavailable(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let mut refuse = |place: &Place<'_>| {
        let problem =
            Problem::forbidden(code::ARTIFACTS_UNAVAILABLE, place, "artifacts are not available yet");
        out.push(problem.hint("hand values on as parameters, or put files on a volume claim"));
        !out.is_full()
    };
    if subject.flow.spec.artifact_store.is_some() {
        refuse(&spec.field("artifactStore"));
    }
    let list = spec.field("steps");
    for (i, step) in subject.steps().iter().enumerate() {
        let here = list.index(i);
        let inputs = step.inputs.as_ref().map_or(0, |inputs| inputs.artifacts.len());
        let outputs = step.outputs.as_ref().map_or(0, |outputs| outputs.artifacts.len());
        for (field, count) in [("inputs", inputs), ("outputs", outputs)] {
            let parent = here.field(field);
            let artifacts = parent.field("artifacts");
            if !(0..count).all(|at| refuse(&artifacts.index(at))) {
                return;
            }
        }
    }
}

pub(super) fn of_step(here: Here<'_, '_>, step: &Step, place: &Place<'_>, out: &mut Problems) {
    let mut taken: Vec<(String, String)> = Vec::new();
    let mounts = mounts(step);
    if let Some(inputs) = step.inputs.as_ref().filter(|inputs| !inputs.artifacts.is_empty()) {
        let parent = place.field("inputs");
        let place = parent.field("artifacts");
        let list = inputs.artifacts.iter().map(|artifact| artifact.name.as_str());
        names(list, "an artifact", code::DUPLICATE_ARTIFACT, &place, out);
        for (i, artifact) in inputs.artifacts.iter().enumerate() {
            let place = place.index(i);
            source(here, artifact, &place, out);
            let default = format!("{DEFAULT_FOLDER}/{}", artifact.name);
            let text = artifact.path.as_deref().unwrap_or(&default);
            let here = place.field("path");
            if let Some(clean) = path(text, &here, out) {
                mounted(&mounts, &clean, &here, text, out);
                occupy(&mut taken, clean, &here, text, out);
            }
        }
    }
    if let Some(outputs) = step.outputs.as_ref().filter(|outputs| !outputs.artifacts.is_empty()) {
        let parent = place.field("outputs");
        let place = parent.field("artifacts");
        let list = outputs.artifacts.iter().map(|artifact| artifact.name.as_str());
        names(list, "an artifact", code::DUPLICATE_ARTIFACT, &place, out);
        for (i, artifact) in outputs.artifacts.iter().enumerate() {
            output(artifact, &place.index(i), &mounts, &mut taken, out);
        }
    }
}

fn output(
    artifact: &OutputArtifact,
    place: &Place<'_>,
    mounts: &[(String, String)],
    taken: &mut Vec<(String, String)>,
    out: &mut Problems,
) {
    let here = place.field("path");
    if !(artifact.path.is_empty() && out.has(&here))
        && let Some(clean) = path(&artifact.path, &here, out)
    {
        // The parent directory is what is mounted.
        match clean.rsplit_once('/') {
            Some(("", _)) => out.push(
                Problem::invalid(
                    code::ARTIFACT_PATH,
                    &here,
                    artifact.path.as_str(),
                    "its directory may not be `/`",
                )
                .hint(format!("write it into a directory, such as /out{clean}")),
            ),
            Some((parent, _)) => mounted(mounts, parent, &here, &artifact.path, out),
            None => {}
        }
        occupy(taken, clean, &here, &artifact.path, out);
    }
    if let Some(packing) = &artifact.archive {
        archive(packing, &place.field("archive"), out);
    }
    if let Some(location) = &artifact.s3 {
        s3(location, &place.field("s3"), out);
    }
}

/// `from`, `http`, `s3` or `configMap`: exactly one.
fn source(here: Here<'_, '_>, artifact: &InputArtifact, place: &Place<'_>, out: &mut Problems) {
    let sources = [
        ("from", artifact.from.is_some()),
        ("http", artifact.http.is_some()),
        ("s3", artifact.s3.is_some()),
        ("configMap", artifact.config_map.is_some()),
    ];
    let mut given = sources.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
    match (given.next(), given.next()) {
        (None, _) if !sources.iter().any(|(name, _)| out.has(&place.field(name))) => out.push(
            Problem::required(code::ARTIFACT_SOURCE, place, "an artifact needs a source")
                .hint("add one of from, http, s3, configMap"),
        ),
        (Some(first), Some(second)) => out.push(
            Problem::forbidden(
                code::ARTIFACT_SOURCE,
                &place.field(second),
                format!("`{first}` is given already"),
            )
            .hint("keep one of the two"),
        ),
        _ => {}
    }
    if let Some(text) = &artifact.from {
        from(here, text, &place.field("from"), out);
    }
    if let Some(http) = &artifact.http {
        let place = place.field("http");
        url(&http.url, &place.field("url"), out);
        if let Some(headers) = &http.headers {
            header_list(headers, &place.field("headers"), out);
        }
        if let Some(sum) = &http.sha256
            && !(sum.len() == 64 && sum.bytes().all(|c| c.is_ascii_hexdigit()))
        {
            let what = "must be the 64 hexadecimal digits of a SHA-256";
            out.push(Problem::invalid(code::CHECKSUM, &place.field("sha256"), sum.as_str(), what));
        }
    }
    if let Some(location) = &artifact.s3 {
        s3(location, &place.field("s3"), out);
    }
    if let Some(reference) = &artifact.config_map {
        key_ref(reference, &place.field("configMap"), out);
    }
}

fn from(here: Here<'_, '_>, text: &str, place: &Place<'_>, out: &mut Problems) {
    let parts = text
        .split_once('/')
        .filter(|(step, name)| !step.is_empty() && !name.is_empty() && !name.contains('/'));
    let Some((step, name)) = parts else {
        let problem = Problem::invalid(code::ARTIFACT_FROM, place, text, "must be STEP/ARTIFACT");
        out.push(problem.hint("name a step and one of its output artifacts"));
        return;
    };
    let before = out.len();
    let Some(source) = here.source(step, code::UNKNOWN_ARTIFACT, place, out) else { return };
    if out.len() > before {
        return;
    }
    let outputs = here.subject.steps()[source].outputs.as_ref();
    let known: Vec<&str> = outputs
        .iter()
        .flat_map(|outputs| &outputs.artifacts)
        .map(|artifact| artifact.name.as_str())
        .collect();
    if !known.contains(&name) {
        let hint = out.did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
            [] => format!("declare it in the outputs of \"{step}\""),
            known => format!("it has {}", known.join(", ")),
        });
        let what = format!("step \"{step}\" has no output artifact \"{name}\"");
        out.push(Problem::not_found(code::UNKNOWN_ARTIFACT, place, text, what).hint(hint));
    }
}

/// A path without doubled and closing slashes and `.` segments; what is wrong otherwise.
fn path(text: &str, place: &Place<'_>, out: &mut Problems) -> Option<String> {
    let problem =
        |what: &str, hint: String| Problem::invalid(code::ARTIFACT_PATH, place, text, what).hint(hint);
    let segments: Vec<&str> =
        text.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    let clean = format!("/{}", segments.join("/"));
    if text.is_empty() {
        out.push(Problem::required(code::ARTIFACT_PATH, place, "a path is needed"));
    } else if !text.starts_with('/') {
        out.push(problem("must be an absolute path", format!("write \"{clean}\"")));
    } else if segments.contains(&"..") {
        out.push(problem("must not contain `..`", "write the path without it".to_owned()));
    } else if segments.is_empty() {
        out.push(problem("must not be `/`", "write a file or directory below it".to_owned()));
    } else {
        return Some(clean);
    }
    None
}

/// No two artifacts on one path.
fn occupy(
    taken: &mut Vec<(String, String)>,
    clean: String,
    place: &Place<'_>,
    text: &str,
    out: &mut Problems,
) {
    let here = place.path().to_string();
    match taken.iter().find(|(path, _)| *path == clean) {
        Some((_, first)) => {
            let what = format!("{first} is this path already");
            out.push(
                Problem::duplicate(code::ARTIFACT_COLLISION, place, text, what).hint("choose another path"),
            );
        }
        None => taken.push((clean, here)),
    }
}

/// The directories that the template mounts: (path, container).
fn mounts(step: &Step) -> Vec<(String, String)> {
    let template = step.template.as_ref().map(JobTemplate::value).unwrap_or_default();
    let Some(spec) = template.pointer("/spec/template/spec") else { return Vec::new() };
    let list =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for container in list(spec, "containers") {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        for mount in list(&container, "volumeMounts") {
            if let Some(path) = mount.get("mountPath").and_then(Value::as_str) {
                found.push((path.trim_end_matches('/').to_owned(), name.clone()));
            }
        }
    }
    found
}

fn mounted(mounts: &[(String, String)], clean: &str, place: &Place<'_>, text: &str, out: &mut Problems) {
    if let Some((_, container)) = mounts.iter().find(|(path, _)| path == clean) {
        let what = format!("container \"{container}\" mounts a volume at {clean}");
        out.push(Problem::invalid(code::MOUNT_COLLISION, place, text, what).hint("choose another path"));
    }
}

/// zip compresses by itself, and a single file is kept as it is.
fn archive(packing: &Archive, place: &Place<'_>, out: &mut Problems) {
    let compressed = matches!(packing.compression, Some(Compression::Gzip | Compression::Zstd));
    let (what, hint) = match packing.format {
        Some(ArchiveFormat::Zip) if compressed => {
            ("a zip archive is compressed by itself", "remove it, or use tar")
        }
        Some(ArchiveFormat::None) if compressed => {
            ("a file that is not archived is kept as it is", "remove it, or use tar")
        }
        _ => return,
    };
    out.push(Problem::forbidden(code::ARCHIVE, &place.field("compression"), what).hint(hint));
}
