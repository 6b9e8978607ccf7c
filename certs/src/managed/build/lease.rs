//! The Lease in which a replica reports the certificate it serves.

use serde_json::{Value, json};

use crate::managed::config::ReplicaRef;
use crate::pair::Pair;

/// Label, as key and value, of every report's Lease.
pub const REPORT_LABEL: (&str, &str) = ("headworks.kube-zen.io/report", "certificate");
/// Annotation with the serial that the replica serves.
pub const SERIAL_ANNOTATION: &str = "headworks.kube-zen.io/certificate-serial";
/// Annotation with the end of that certificate (RFC 3339).
pub const NOT_AFTER_ANNOTATION: &str = "headworks.kube-zen.io/certificate-not-after";
/// Annotation with the name of the Secret that it is from.
pub const SECRET_ANNOTATION: &str = "headworks.kube-zen.io/certificate-secret";

/// Builds the apply of a replica's report.
pub(crate) fn lease(secret: &str, replica: &ReplicaRef, pair: &Pair) -> Value {
    let ReplicaRef { pod, uid } = replica;
    let (label, value) = REPORT_LABEL;
    let owners: Vec<_> =
        uid.iter().map(|uid| json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid})).collect();
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": replica.lease(),
            "labels": {label: value},
            "annotations": {
                SERIAL_ANNOTATION: pair.serial(),
                NOT_AFTER_ANNOTATION: pair.not_after().to_string(),
                SECRET_ANNOTATION: secret,
            },
            "ownerReferences": owners,
        },
        "spec": {"holderIdentity": pod},
    })
}
