//! The two objects: what they are, and that nothing else is touched.

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::rig::{Rig, with_rig};

async fn leader_service(rig: &Rig, name: &str) -> Value {
    let get = async || rig.services().get_opt(name).await.unwrap();
    serde_json::to_value(rig.eventually(name, get).await).unwrap()
}

/// The slice as it is once it routes to `pod`.
async fn slice_of(rig: &Rig, service: &str, pod: &str) -> Value {
    rig.leads(service, pod).await;
    serde_json::to_value(rig.slice(&format!("{service}-leader-ipv4")).await.unwrap()).unwrap()
}

/// Everything of the namespace that is not ours, as names and versions.
async fn others(rig: &Rig) -> Vec<(String, Option<String>)> {
    let not_ours = ListParams::default().labels("!zen-lead.io/source-service");
    let version = |meta: &ObjectMeta| (meta.name.clone().unwrap_or_default(), meta.resource_version.clone());
    let mut all: Vec<_> =
        rig.services().list(&not_ours).await.unwrap().iter().map(|one| version(&one.metadata)).collect();
    all.extend(rig.slices().list(&not_ours).await.unwrap().iter().map(|one| version(&one.metadata)));
    all
}

#[test]
fn a_service_that_opts_in_has_a_leader_and_another_when_it_goes() {
    with_rig("rt-basic", async |rig| {
        let uid = rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        let source = rig.led("db").await;
        let slice = slice_of(&rig, "db", "db-0").await;
        let endpoint = &slice["endpoints"][0];
        assert_eq!(endpoint["targetRef"]["uid"], uid);
        assert_eq!(endpoint["nodeName"], "ground");
        assert_eq!(endpoint["zone"], "zone-a");
        assert_eq!(endpoint["conditions"], json!({"ready": true, "serving": true, "terminating": false}));
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "db-leader");
        assert_eq!(slice["metadata"]["annotations"]["zen-lead.io/epoch"], "1");
        let service = leader_service(&rig, "db-leader").await;
        assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], service["metadata"]["uid"]);
        let owner = &service["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&json!(source.uid().unwrap()), &json!(true)));
        assert!(service["spec"].get("selector").is_none());
        assert_eq!(service["spec"]["type"], "ClusterIP");
        // Nothing is copied that nobody asked for.
        let labels = json!({"app.kubernetes.io/managed-by": "headworks", "zen-lead.io/source-service": "db"});
        assert_eq!(service["metadata"]["labels"], labels);

        rig.delete("db-0").await;
        rig.leads("db", "db-1").await;
        assert!(rig.pods().get_opt("db-0").await.unwrap().is_some(), "the old one has not exited yet");
        rig.kill("db-0").await;
        rig.leads("db", "db-1").await;
        assert_eq!(rig.slice("db-leader-ipv4").await.unwrap().annotations()["zen-lead.io/epoch"], "2");
        let told =
            async || rig.told("db").await.filter(|told| told["leader"] == "db-1" && told["epoch"] == 2);
        let told = rig.eventually("the status", told).await;
        assert_eq!((&told["reason"], &told["candidates"]), (&json!("Incumbent"), &json!(1)));
        assert!(rig.event("LeaderChanged").await.contains("db-1 leads instead of db-0"));
        rig.event("LeaderServiceCreated").await;
        rig.event("LeaderRoutingAvailable").await;
        let annotations = async || {
            let service = rig.services().get("db-leader").await.unwrap();
            let annotations = service.annotations();
            (annotations.get("zen-lead.io/current-leader")? == "db-1").then(|| annotations.clone())
        };
        let annotations = rig.eventually("the leader Service to tell", annotations).await;
        assert_eq!(annotations["zen-lead.io/epoch"], "2");
        assert!(annotations.contains_key("zen-lead.io/leader-last-switch-time"));
    });
}

#[test]
fn ports_are_resolved_by_number_name_and_protocol() {
    with_rig("rt-ports", async |rig| {
        let side_car = json!({"spec": {"initContainers": [
            {"name": "once", "image": "x", "ports": [{"name": "setup", "containerPort": 1}]},
            {"name": "side", "image": "x", "restartPolicy": "Always",
             "ports": [{"name": "metrics", "containerPort": 9100}]}]}});
        rig.pod_on("ground", "db-0", "db", side_car).await;
        rig.ready("db-0", true).await;
        let ports = json!({"ports": [
            {"name": "plain", "port": 80},
            {"name": "number", "port": 81, "targetPort": 8081, "appProtocol": "h2c"},
            {"name": "named", "port": 82, "targetPort": "http"},
            {"name": "udp", "port": 53, "targetPort": "dns", "protocol": "UDP"},
            {"name": "wrong", "port": 54, "targetPort": "dns", "protocol": "TCP"},
            {"name": "side", "port": 83, "targetPort": "metrics"},
            {"name": "init", "port": 84, "targetPort": "setup"},
            {"name": "sctp", "port": 85, "targetPort": 85, "protocol": "SCTP"},
        ]});
        rig.service("db", &[("enabled", "true")], ports).await;
        let slice = slice_of(&rig, "db", "db-0").await;
        let ports: Vec<(&str, i64, &str)> = slice["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| {
                let text = |field: &str| port[field].as_str().unwrap();
                (text("name"), port["port"].as_i64().unwrap(), text("protocol"))
            })
            .collect();
        let expected = [
            ("plain", 80, "TCP"),
            ("number", 8081, "TCP"),
            ("named", 8080, "TCP"),
            ("udp", 5353, "UDP"),
            ("side", 9100, "TCP"),
            ("sctp", 85, "SCTP"),
        ];
        assert_eq!(ports, expected);
        assert_eq!(slice["ports"][1]["appProtocol"], "h2c");
        let service = leader_service(&rig, "db-leader").await;
        assert_eq!(service["spec"]["ports"].as_array().unwrap().len(), 8);
        assert_eq!(service["spec"]["ports"][1]["appProtocol"], "h2c");
        assert!(rig.event("PortResolutionFailed").await.contains("54/TCP (dns)"));
        let targets = async || {
            let service = leader_service(&rig, "db-leader").await;
            (service["spec"]["ports"][2]["targetPort"] == 8080).then_some(())
        };
        rig.eventually("the named port to have a number", targets).await;
    });
}

#[test]
fn what_the_source_says_is_mirrored_and_followed() {
    with_rig("rt-mirror", async |rig| {
        rig.pod("db-0", "db").await;
        let spec = json!({"sessionAffinity": "ClientIP", "internalTrafficPolicy": "Local",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}, "trafficDistribution": "PreferClose"});
        rig.service("db", &[("enabled", "true"), ("copy-labels", "team")], spec).await;
        rig.leads("db", "db-0").await;
        let service = leader_service(&rig, "db-leader").await;
        let spec = &service["spec"];
        assert_eq!(spec["sessionAffinity"], "ClientIP");
        assert_eq!(spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 60);
        // With Local, clients of every node but the leader's would be dropped.
        assert_eq!(spec["internalTrafficPolicy"], "Cluster");
        assert_eq!(spec["trafficDistribution"], "PreferClose");
        assert_eq!(service["metadata"]["labels"]["team"], "red");
        assert!(service["metadata"]["labels"].get("secret").is_none());
        let patch = json!({"spec": {"sessionAffinity": "None", "sessionAffinityConfig": null,
            "trafficDistribution": null, "ports": [{"port": 90, "targetPort": 9090}]}});
        rig.services().patch("db", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        rig.annotate("db", "copy-labels", None).await;
        let follows = async || {
            let service = leader_service(&rig, "db-leader").await;
            let spec = &service["spec"];
            let slice = rig.slice("db-leader-ipv4").await.unwrap();
            (spec["sessionAffinity"] == "None"
                && spec.get("sessionAffinityConfig").is_none()
                && spec.get("trafficDistribution").is_none()
                && spec["ports"][0]["port"] == 90
                && service["metadata"]["labels"].get("team").is_none()
                && slice.ports.unwrap()[0].port == Some(9090))
            .then_some(())
        };
        rig.eventually("the leader Service to follow", follows).await;
    });
}

#[test]
fn headless_node_port_and_load_balancer_sources_have_leaders() {
    with_rig("rt-types", async |rig| {
        for app in ["headless", "np", "lb", "shown", "early"] {
            rig.pod(&format!("{app}-0"), app).await;
        }
        let led: &[(&str, &str)] = &[("enabled", "true")];
        rig.service("headless", led, json!({"clusterIP": "None"})).await;
        rig.service("np", led, json!({"type": "NodePort"})).await;
        rig.service("lb", led, json!({"type": "LoadBalancer"})).await;
        let shown = rig
            .service("shown", &[("enabled", "true"), ("expose", "true")], json!({"type": "NodePort"}))
            .await;
        rig.service("early", led, json!({"publishNotReadyAddresses": true})).await;
        for app in ["headless", "np", "lb", "shown", "early"] {
            rig.leads(app, &format!("{app}-0")).await;
        }
        assert_eq!(leader_service(&rig, "headless-leader").await["spec"]["clusterIP"], "None");
        for app in ["np", "lb", "early"] {
            let spec = leader_service(&rig, &format!("{app}-leader")).await["spec"].take();
            assert_eq!(spec["type"], "ClusterIP", "{app}");
            assert!(spec["ports"][0].get("nodePort").is_none());
            assert!(spec.get("publishNotReadyAddresses").is_none_or(|value| *value == false));
        }
        let spec = leader_service(&rig, "shown-leader").await["spec"].take();
        assert_eq!(spec["type"], "NodePort");
        let own = serde_json::to_value(&shown).unwrap();
        assert_ne!(spec["ports"][0]["nodePort"], own["spec"]["ports"][0]["nodePort"]);
        // The API server keeps the port over a patch of ours.
        let patch = json!({"spec": {"sessionAffinity": "ClientIP"}});
        rig.services().patch("shown", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        let follows = async || {
            let after = leader_service(&rig, "shown-leader").await["spec"].take();
            (after["sessionAffinity"] == "ClientIP").then_some(after)
        };
        let after = rig.eventually("the patch", follows).await;
        assert_eq!(after["ports"][0]["nodePort"], spec["ports"][0]["nodePort"]);
        rig.annotate("shown", "expose", None).await;
        let hidden = async || {
            let spec = leader_service(&rig, "shown-leader").await["spec"].take();
            (spec["type"] == "ClusterIP" && spec["ports"][0].get("nodePort").is_none()).then_some(())
        };
        rig.eventually("the port to be given back", hidden).await;
        rig.ready("early-0", false).await;
        rig.nobody_leads("early").await;
    });
}

#[test]
fn services_without_pods_of_their_own_have_no_leader_and_say_so() {
    with_rig("rt-none", async |rig| {
        let led: &[(&str, &str)] = &[("enabled", "true")];
        rig.service(
            "external",
            led,
            json!({"type": "ExternalName", "externalName": "example.com",
            "selector": null, "ports": null}),
        )
        .await;
        rig.service("bare", led, json!({"selector": null})).await;
        for name in ["external", "bare"] {
            let told = async || rig.told(name).await.filter(|told| told["reason"] == "InvalidService");
            rig.eventually("the status", told).await;
        }
        rig.event("InvalidAnnotation").await;
        assert!(rig.ours().await.is_empty());
        // It becomes an ordinary one, and then one without a selector again.
        rig.pod("bare-0", "bare").await;
        let patch = json!({"spec": {"selector": {"app": "bare"}}});
        rig.services().patch("bare", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        rig.leads("bare", "bare-0").await;
        let patch = json!({"spec": {"selector": null}});
        rig.services().patch("bare", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        rig.gone().await;
    });
}

#[test]
fn dual_stack_and_ipv6_have_a_slice_for_each_family() {
    with_rig("rt-family", async |rig| {
        for app in ["both", "six"] {
            rig.pod(&format!("{app}-0"), app).await;
        }
        let led: &[(&str, &str)] = &[("enabled", "true")];
        rig.service("both", led, json!({"ipFamilyPolicy": "RequireDualStack"})).await;
        rig.service("six", led, json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})).await;
        rig.leads("both", "both-0").await;
        let six = async |name: &str| {
            let get = async || rig.slice(name).await.filter(|slice| !slice.endpoints.is_empty());
            rig.eventually(name, get).await
        };
        let slice = six("both-leader-ipv6").await;
        assert_eq!(slice.address_type, "IPv6");
        assert!(slice.endpoints[0].addresses[0].starts_with("fd00:"));
        six("six-leader-ipv6").await;
        assert!(rig.slice("six-leader-ipv4").await.is_none());
        assert_eq!(leader_service(&rig, "both-leader").await["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
        assert_eq!(leader_service(&rig, "six-leader").await["spec"]["ipFamilies"], json!(["IPv6"]));
        // Both families move together, and carry one epoch.
        rig.pod("both-1", "both").await;
        rig.delete("both-0").await;
        rig.leads("both", "both-1").await;
        let moved = async || {
            let slice = six("both-leader-ipv6").await;
            let name = slice.endpoints[0].target_ref.as_ref()?.name.clone()?;
            (name == "both-1" && slice.annotations()["zen-lead.io/epoch"] == "2").then_some(())
        };
        rig.eventually("IPv6 to move", moved).await;
        // Back to one family: the other slice goes.
        let patch = json!({"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}});
        rig.services().patch("both", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        let single = async || rig.slice("both-leader-ipv6").await.is_none().then_some(());
        rig.eventually("the IPv6 slice to go", single).await;
        rig.leads("both", "both-1").await;
    });
}

#[test]
fn opting_out_in_any_way_removes_ours_and_nothing_else() {
    with_rig("rt-out", async |rig| {
        rig.pod("db-0", "db").await;
        rig.service("db", &[], json!({})).await;
        // The cluster's own slice of the Service comes when its controller gets to it.
        let clean = rig.eventually("the Service's own slice", async || {
            let clean = others(&rig).await;
            (clean.len() == 2).then_some(clean)
        });
        let clean = clean.await;
        let spec = serde_json::to_value(rig.services().get("db").await.unwrap().spec).unwrap();
        let opt_in = async || {
            rig.annotate("db", "enabled", Some("true")).await;
            rig.leads("db", "db-0").await;
        };
        opt_in().await;
        rig.annotate("db", "enabled", None).await;
        rig.gone().await;
        opt_in().await;
        rig.annotate("db", "enabled", Some("false")).await;
        rig.gone().await;
        opt_in().await;
        rig.annotate("db", "enabled", Some("yes")).await;
        rig.gone().await;
        // What we told on the source goes too; its own things stay.
        let untold = async || {
            let source = rig.services().get("db").await.unwrap();
            (!source.annotations().contains_key("zen-lead.io/status")
                && !source.annotations().contains_key("zen-lead.io/leader-service"))
            .then_some(source)
        };
        let source = rig.eventually("the status to go", untold).await;
        assert_eq!(serde_json::to_value(source.spec).unwrap(), spec);
        let names =
            |list: Vec<(String, Option<String>)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(others(&rig).await), names(clean));
        opt_in().await;
        rig.services().delete("db", &DeleteParams::default()).await.unwrap();
        rig.gone().await;
        assert!(rig.pods().get_opt("db-0").await.unwrap().is_some());
    });
}

#[test]
fn a_renamed_leader_service_replaces_the_old_one() {
    with_rig("rt-rename", async |rig| {
        rig.pod("db-0", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.annotate("db", "leader-service-name", Some("primary")).await;
        let renamed = async || {
            let mut ours = rig.ours().await;
            ours.sort();
            (ours == ["service/primary", "slice/primary-ipv4"]).then_some(())
        };
        rig.eventually("only the new name", renamed).await;
        let slice = rig.slice("primary-ipv4").await.unwrap();
        assert_eq!(slice.endpoints[0].target_ref.as_ref().unwrap().name.as_deref(), Some("db-0"));
        assert_eq!(slice.annotations()["zen-lead.io/epoch"], "1", "a new name is no new leader");
        rig.annotate("db", "leader-service-name", None).await;
        rig.leads("db", "db-0").await;
    });
}

#[test]
fn a_foreign_service_of_that_name_is_left_alone_until_it_goes() {
    with_rig("rt-foreign", async |rig| {
        rig.pod("db-0", "db").await;
        let foreign = json!({"metadata": {"name": "db-leader"}, "spec": {"ports": [{"port": 1}]}});
        let foreign = serde_json::from_value(foreign).unwrap();
        let foreign = rig.services().create(&PostParams::default(), &foreign).await.unwrap();
        rig.led("db").await;
        rig.event("NameConflict").await;
        let told = async || rig.told("db").await.filter(|told| told["conditions"][0].as_str().is_some());
        let told = rig.eventually("the condition", told).await;
        assert!(told["conditions"][0].as_str().unwrap().starts_with("NameConflict: db-leader"), "{told}");
        assert_eq!(told["leader"], Value::Null);
        assert!(rig.slice("db-leader-ipv4").await.is_none(), "it would route the foreign Service");
        let now = rig.services().get("db-leader").await.unwrap();
        assert_eq!(now.resource_version(), foreign.resource_version());
        // Out and in again, with the foreign one still there.
        rig.annotate("db", "enabled", None).await;
        let untold = async || rig.told("db").await.is_none().then_some(());
        rig.eventually("the status to go", untold).await;
        assert_eq!(
            rig.services().get("db-leader").await.unwrap().resource_version(),
            foreign.resource_version()
        );
        rig.annotate("db", "enabled", Some("true")).await;
        rig.eventually("the status", async || rig.told("db").await).await;
        rig.services().delete("db-leader", &DeleteParams::default()).await.unwrap();
        rig.leads("db", "db-0").await;
        let well = async || rig.told("db").await.filter(|told| told.get("conditions").is_none());
        rig.eventually("no condition any more", well).await;
    });
}

#[test]
fn two_sources_cannot_share_a_leader_service() {
    with_rig("rt-share", async |rig| {
        rig.pod("a-0", "a").await;
        rig.pod("b-0", "b").await;
        rig.service("a", &[("enabled", "true"), ("leader-service-name", "both")], json!({})).await;
        rig.eventually("the first", async || rig.slice("both-ipv4").await).await;
        rig.service("b", &[("enabled", "true"), ("leader-service-name", "both")], json!({})).await;
        rig.event("NameConflict").await;
        rig.annotate("a", "enabled", None).await;
        let second = async || {
            let slice = rig.slice("both-ipv4").await?;
            (slice.endpoints.first()?.target_ref.as_ref()?.name.as_deref() == Some("b-0")).then_some(())
        };
        rig.eventually("the second to have the name", second).await;
    });
}

#[test]
fn long_names_are_cut_and_published() {
    with_rig("rt-long", async |rig| {
        for length in 56..=63 {
            let name = format!("s{}", "x".repeat(length - 1));
            let spec = json!({"selector": {"app": "long"}});
            rig.service(&name, &[("enabled", "true")], spec).await;
            let told = async || {
                let source = rig.services().get(&name).await.unwrap();
                source.annotations().get("zen-lead.io/leader-service").cloned()
            };
            let leader = rig.eventually("the name", told).await;
            assert!(leader.len() <= 63);
            assert_eq!(leader == format!("{name}-leader"), length == 56, "{leader}");
            let service = leader_service(&rig, &leader).await;
            assert_eq!(service["metadata"]["labels"]["zen-lead.io/source-service"], name);
            rig.eventually("the slice", async || rig.slice(&format!("{leader}-ipv4")).await).await;
        }
    });
}

#[test]
fn what_is_edited_or_deleted_by_hand_is_repaired() {
    with_rig("rt-drift", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        let merge = async |patch: Value| {
            rig.services().patch("db-leader", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        };
        merge(json!({"spec": {"selector": {"app": "evil"}, "ports": [{"port": 9}], "internalTrafficPolicy": "Local"},
            "metadata": {"labels": {"zen-lead.io/source-service": null, "extra": "x"},
                "annotations": {"zen-lead.io/enabled": "true", "zen-lead.io/sticky": "false"}}}))
        .await;
        let right = async || {
            let service = leader_service(&rig, "db-leader").await;
            (service["spec"].get("selector").is_none()
                && service["spec"]["ports"][0]["port"] == 80
                && service["spec"]["internalTrafficPolicy"] == "Cluster"
                && service["metadata"]["annotations"].get("zen-lead.io/enabled").is_none()
                && service["metadata"]["annotations"].get("zen-lead.io/sticky").is_none()
                && service["metadata"]["labels"]["zen-lead.io/source-service"] == "db"
                && service["metadata"]["labels"].get("extra").is_none())
            .then_some(())
        };
        rig.eventually("the Service to be right", right).await;
        let slice = async |patch: Value| {
            rig.slices()
                .patch("db-leader-ipv4", &PatchParams::default(), &Patch::Merge(patch))
                .await
                .unwrap();
        };
        let other = json!({"endpoints": [{"addresses": ["10.9.9.9"], "targetRef": {"kind": "Pod", "name": "db-1", "uid": "x"}}]});
        slice(other).await;
        rig.leads("db", "db-0").await;
        slice(
            json!({"endpoints": [], "ports": [], "metadata": {"annotations": {"zen-lead.io/epoch": null}}}),
        )
        .await;
        rig.leads("db", "db-0").await;
        slice(json!({"metadata": {"labels": {"kubernetes.io/service-name": "other"}}})).await;
        slice(json!({"metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "other"}}})).await;
        let labelled = async || {
            let slice = rig.slice("db-leader-ipv4").await?;
            let labels = slice.labels();
            (labels.get("kubernetes.io/service-name")? == "db-leader"
                && labels.get("endpointslice.kubernetes.io/managed-by")? == "headworks")
                .then_some(())
        };
        rig.eventually("the labels to be back", labelled).await;
        let epoch =
            async || rig.slice("db-leader-ipv4").await.unwrap().annotations()["zen-lead.io/epoch"].clone();
        let before = epoch().await;
        rig.slices().delete("db-leader-ipv4", &DeleteParams::default()).await.unwrap();
        rig.leads("db", "db-0").await;
        assert_eq!(epoch().await, before, "the leader is the same");
        let uid = rig.services().get("db-leader").await.unwrap().uid();
        rig.services().delete("db-leader", &DeleteParams::default()).await.unwrap();
        let again = async || {
            let service = rig.services().get_opt("db-leader").await.unwrap()?;
            let slice = rig.slice("db-leader-ipv4").await?;
            let owner = slice.owner_references().first()?.uid.clone();
            (service.uid() != uid && Some(owner) == service.uid() && rig.leader("db").await.is_some())
                .then_some(())
        };
        rig.eventually("both to be back", again).await;
        rig.leads("db", "db-0").await;
    });
}

#[test]
fn five_concurrent_updates_of_the_source_end_well() {
    with_rig("rt-five", async |rig| {
        rig.pod("db-0", "db").await;
        rig.led("db").await;
        let patches = (0..5).map(|i| {
            let services = rig.services();
            async move {
                let patch = json!({"spec": {"ports": [{"port": 100 + i, "targetPort": 8000 + i}]}});
                services.patch("db", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
            }
        });
        futures::future::join_all(patches).await;
        let follows = async || {
            let source = leader_service(&rig, "db").await["spec"]["ports"][0].take();
            let leader = leader_service(&rig, "db-leader").await["spec"]["ports"][0].take();
            let slice = rig.slice("db-leader-ipv4").await?;
            (source["port"] == leader["port"]
                && slice.ports?[0].port.map(i64::from) == source["targetPort"].as_i64())
            .then_some(())
        };
        rig.eventually("the last to win", follows).await;
    });
}
