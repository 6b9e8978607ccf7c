//! Watches that are late, cut, or have lost the thread: a flow notices nothing but the time.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Cluster, test};
use crate::everything;
use crate::proxy::{End, Watching};
use crate::rig::Rig;

async fn through(cluster: &'static Cluster, watching: Watching) -> Arc<Rig> {
    let rig = Rig::new(cluster, "watches").await;
    rig.proxy.watch(watching);
    rig.start();
    everything::ends_the_same(&rig, &format!("{watching:?}")).await;
    rig
}

#[test]
fn what_is_seen_two_seconds_late_leads_to_the_same_end() {
    let late = Duration::from_secs(2);
    test(async |cluster| drop(through(cluster, Watching { late, ..Watching::default() }).await));
}

#[test]
fn pods_that_are_seen_after_the_end_of_their_job_still_say_what_came_of_it() {
    // The Job controller tells of the end of a Job after a second.
    let late = Duration::from_millis(1_800);
    test(async |cluster| {
        drop(through(cluster, Watching { late, only: Some("pods"), ..Watching::default() }).await);
    });
}

#[test]
fn watches_that_end_or_break_again_and_again_lead_to_the_same_end() {
    test(async |cluster| {
        for (end, after) in [(End::Clean, 400), (End::Broken, 400), (End::Clean, 2_000), (End::Broken, 2_000)]
        {
            let cut = Some((Duration::from_millis(after), end));
            drop(through(cluster, Watching { cut, ..Watching::default() }).await);
        }
    });
}

#[test]
fn watches_that_have_lost_the_thread_lead_to_the_same_end() {
    test(async |cluster| {
        let cut = Some((Duration::from_millis(700), End::Gone));
        drop(through(cluster, Watching { cut, ..Watching::default() }).await);

        // And that cannot even begin, for a while.
        let rig = Rig::running(cluster, "watches").await;
        let other = rig.clone();
        let on_and_off = tokio::spawn(async move {
            loop {
                for gone in [true, false] {
                    let cut = Some((Duration::from_millis(300), End::Broken));
                    other.proxy.watch(Watching { cut, gone, ..Watching::default() });
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                }
            }
        });
        everything::ends_the_same(&rig, "410 Gone at the start of watches").await;
        on_and_off.abort();
    });
}
