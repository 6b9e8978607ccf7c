use serde_json::{Value, json};

use crate::flows::rules::{Options, flow};

fn codes(name: &str, templates: &Value) -> Vec<String> {
    let object = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": name},
        "spec": {"resourceTemplates": templates, "steps": [{"name": "a", "type": "Manual"}]}
    });
    let line = |problem: &crate::problem::Problem| {
        let field = problem.field.to_string();
        format!("{} {}", problem.code, field.strip_prefix("spec.resourceTemplates.").unwrap_or(&field))
    };
    flow(&object, &Options::default()).problems.iter().map(line).collect()
}

fn claim(name: &str, modes: &Value, storage: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": modes, "resources": {"requests": {"storage": storage}}}})
}

fn claims(list: &[Value]) -> Vec<String> {
    codes("f", &json!({"volumeClaimTemplates": list}))
}

#[test]
fn claims_say_their_access_modes_and_size() {
    let one = json!(["ReadWriteOnce"]);
    assert_eq!(claims(&[claim("a", &one, &json!("1Gi"))]), [] as [&str; 0]);
    let place = "volumeClaimTemplates[0].spec";
    let storage = format!("HW609 {place}.resources.requests[storage]");
    for wrong in [json!("0"), json!("-1Gi"), json!("1GB")] {
        assert_eq!(claims(&[claim("a", &one, &wrong)]), [storage.as_str()], "{wrong}");
    }
    assert_eq!(claims(&[json!({"metadata": {"name": "a"}, "spec": {"accessModes": one}})]), [storage]);
    let size = json!("1Gi");
    assert_eq!(claims(&[claim("a", &json!([]), &size)]), [format!("HW609 {place}.accessModes")]);
    assert_eq!(claims(&[claim("a", &json!(["RWO"]), &size)]), [format!("HW609 {place}.accessModes[0]")]);
    let both = json!(["ReadWriteOncePod", "ReadWriteOnce"]);
    assert_eq!(claims(&[claim("a", &both, &size)]), [format!("HW609 {place}.accessModes")]);
    assert_eq!(claims(&[json!({"metadata": {"name": "a"}})]), [format!("HW609 {place}")]);
}

#[test]
fn names_are_labels_and_stand_once_in_both_lists() {
    let one = json!(["ReadWriteOnce"]);
    let size = json!(1);
    assert_eq!(claims(&[claim("A_b", &one, &size)]), ["HW607 volumeClaimTemplates[0].metadata.name"]);
    let both = json!({"volumeClaimTemplates": [claim("a", &one, &size)], "configMapTemplates": [{"metadata": {"name": "a"}}]});
    assert_eq!(codes("f", &both), ["HW608 configMapTemplates[0].metadata.name"]);
    let unnamed = json!({"configMapTemplates": [{"data": {}}]});
    assert_eq!(codes("f", &unnamed), ["HW607 configMapTemplates[0].metadata.name"]);
    assert_eq!(
        codes(&"f".repeat(250), &json!({"configMapTemplates": [{"metadata": {"name": "abc"}}]})),
        ["HW611 configMapTemplates[0].metadata.name"]
    );
    assert_eq!(
        codes("f", &json!({"configMapTemplates": [{"kind": "Secret", "metadata": {"name": "abc"}}]})),
        ["HW610 configMapTemplates[0].kind"]
    );
}

#[test]
fn config_map_data_is_usable_and_small() {
    let map = |data: Value, binary: Value| {
        let template = json!({"metadata": {"name": "c"}, "data": data, "binaryData": binary});
        codes("f", &json!({"configMapTemplates": [template]}))
    };
    assert_eq!(map(json!({"a.b": "c"}), json!({"d": "AAAA"})), [] as [&str; 0]);
    assert_eq!(map(json!({"a b": "c"}), json!({})), ["HW612 configMapTemplates[0].data[a b]"]);
    assert_eq!(map(json!({"a": "c"}), json!({"a": "AAAA"})), ["HW612 configMapTemplates[0].binaryData[a]"]);
    assert_eq!(map(json!({"a": "x".repeat(1_048_577)}), json!({})), ["HW612 configMapTemplates[0].data"]);
}

#[test]
fn a_wrong_type_is_told_once() {
    assert_eq!(
        claims(&[json!({"metadata": {"name": "a"}, "spec": 3})]),
        ["HW610 volumeClaimTemplates[0].spec"]
    );
}
