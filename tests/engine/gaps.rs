//! A network that is gone for a while, and an API server that dies.

use std::time::{Duration, Instant};

use crate::cluster::test;
use crate::proxy::Fate;
use crate::rig::Rig;
use crate::{everything, full, rough};

#[test]
fn a_gap_in_the_network_costs_its_time_and_nothing_else() {
    let gap = Duration::from_secs(if full() { 30 } else { 10 });
    test(async |cluster| {
        everything::undisturbed(cluster).await;
        // It begins when a write has been done, and nobody heard of it.
        let rig = Rig::running(cluster, "gap").await;
        let other = rig.clone();
        rig.proxy.hook(move |call| {
            if !(call.is_job() && call.nth == 4) {
                return Fate::pass();
            }
            let rig = other.clone();
            let begin = async move {
                rig.proxy.gap(true);
                tokio::spawn(async move {
                    tokio::time::sleep(gap).await;
                    rig.proxy.gap(false);
                });
            };
            Fate { then: Some(Box::pin(begin)), ..Fate::answer_lost() }
        });
        let began = Instant::now();
        everything::ends_the_same(&rig, "a gap").await;
        println!("a gap of {gap:?} in a flow that ended after {:?}", began.elapsed());
        rig.proxy.behave();
    });
}

#[test]
fn an_api_server_that_is_killed_costs_its_time_and_nothing_else() {
    rough::test(async |cluster| {
        everything::undisturbed(cluster).await;
        for nth in [2, 7] {
            let rig = Rig::running(cluster, "restart").await;
            rig.excuse_the_record();
            rig.proxy.hook(move |call| {
                if !(call.is_status() && call.nth == nth) {
                    return Fate::pass();
                }
                let restart = async {
                    tokio::task::spawn_blocking(|| cluster.restart_apiserver()).await.unwrap();
                };
                Fate { then: Some(Box::pin(restart)), ..Fate::pass() }
            });
            everything::ends_the_same(&rig, "an API server that was killed").await;
        }
    });
}
