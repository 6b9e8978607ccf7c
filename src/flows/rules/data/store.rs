//! The artifact store of a flow: that it is complete, and that there is one if it is needed.

use super::location::s3;
use crate::flows::rules::Subject;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

pub(super) fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let place = spec.field("artifactStore");
    let Some(store) = &subject.flow.spec.artifact_store else {
        needed(subject, spec, out);
        return;
    };
    match (&store.s3, &store.volume_claim) {
        (Some(_), Some(_)) => out.push(
            Problem::forbidden(code::NO_ARTIFACT_STORE, &place.field("volumeClaim"), "`s3` is given already")
                .hint("keep one of the two"),
        ),
        (None, None) if !out.has(&place.field("s3")) && !out.has(&place.field("volumeClaim")) => out.push(
            Problem::required(code::NO_ARTIFACT_STORE, &place, "a store needs a place")
                .hint("add s3 or volumeClaim"),
        ),
        _ => {}
    }
    if let Some(location) = &store.s3 {
        s3(location, &place.field("s3"), out);
    }
    if let Some(claim) = &store.volume_claim {
        let parent = place.field("volumeClaim");
        let here = parent.field("claimName");
        if claim.claim_name.is_empty() && !out.has(&here) {
            out.push(Problem::required(code::NO_ARTIFACT_STORE, &here, "a claim's name is needed"));
        }
    }
}

/// The first output artifact that has no place of its own needs a store; one problem for the flow is enough.
fn needed(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    if subject.options.artifact_store == Some(true) {
        return;
    }
    let list = spec.field("steps");
    for (i, step) in subject.steps().iter().enumerate() {
        let artifacts = step.outputs.as_ref().map_or(&[][..], |outputs| &outputs.artifacts);
        let Some(at) = artifacts.iter().position(|artifact| artifact.s3.is_none()) else { continue };
        let here = list.index(i);
        let outputs = here.field("outputs");
        let list = outputs.field("artifacts");
        let place = list.index(at);
        // An artifact that cannot be had at all needs no store.
        if out.has(&place) {
            return;
        }
        out.push(if subject.options.artifact_store.is_some() {
            Problem::required(code::NO_ARTIFACT_STORE, &place, "there is no store to keep this artifact in")
                .hint("add spec.artifactStore, or s3 to the artifact")
        } else {
            let what = "needs a store, and the flow names none";
            Problem::warning(code::STORE_UNKNOWN, &place, what).hint("the controller must have one")
        });
        return;
    }
}
