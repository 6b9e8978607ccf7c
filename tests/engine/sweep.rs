//! A crash at every point at which one can leave a trace: before and after each write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Mutex;

use crate::cluster::{Cluster, test};
use crate::everything;
use crate::full;
use crate::proxy::Fate;
use crate::rig::Rig;

/// Where an engine dies.
#[derive(Clone, Copy, Debug)]
struct Point {
    verb: &'static str,
    resource: &'static str,
    nth: usize,
    after: bool,
    /// How often the ones that follow die at their first write.
    again: usize,
}

/// Namespaces, and engines, at one time.
const LANES: usize = 3;

#[test]
fn a_flow_ends_the_same_wherever_the_engine_dies() {
    test(async |cluster| {
        let rounds = if full() { 3 } else { 1 };
        let (began, kills) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        for round in 0..rounds {
            for (verb, resource) in [("patch", "jobflows/status"), ("create", "jobs"), ("create", "events")] {
                let reached = sweep(cluster, verb, resource, round, &kills).await;
                println!("round {round}: {reached} times {verb} {resource}, killed before and after each");
                assert!(reached > 3, "a flow of twelve steps has more to {verb} of {resource}");
            }
        }
        let kills = kills.load(Ordering::Relaxed);
        println!("{kills} kills within {:.0} s", began.elapsed().as_secs_f64());
    });
}

/// Kill before and after write 1, 2, 3 ... of this kind, until there are no more of it; how many there were.
async fn sweep(
    cluster: &'static Cluster,
    verb: &'static str,
    resource: &'static str,
    round: usize,
    kills: &Arc<AtomicUsize>,
) -> usize {
    // Not all of it on every machine, every time: one round of every third point, another third each time.
    let stride = if full() { 1 } else { 3 };
    let offset = if full() { 0 } else { std::process::id() as usize % stride };
    let next = Arc::new(Mutex::new((1 + offset) * 2));
    let (over, reached) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let lanes = (0..LANES).map(|_| {
        let (next, over, reached) = (next.clone(), over.clone(), reached.clone());
        let kills = kills.clone();
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let number = {
                    let mut next = next.lock().await;
                    let number = *next;
                    *next += if number % 2 == 0 { 1 } else { 2 * stride - 1 };
                    number
                };
                let point = Point { verb, resource, nth: number / 2, after: number % 2 == 1, again: round };
                let died = die_at(cluster, point).await;
                kills.fetch_add(died, Ordering::Relaxed);
                if died == 0 {
                    over.store(true, Ordering::Relaxed);
                } else {
                    reached.fetch_max(point.nth, Ordering::Relaxed);
                }
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    reached.load(Ordering::Relaxed)
}

/// Run the flow with an engine that dies at this point; how often engines died.
async fn die_at(cluster: &'static Cluster, point: Point) -> usize {
    let rig = Rig::running(cluster, "sweep").await;
    let deaths = Arc::new(AtomicUsize::new(0));
    let (victim, count) = (rig.clone(), deaths.clone());
    rig.proxy.hook(move |call| {
        let dead = count.load(Ordering::SeqCst);
        let first = dead == 0 && call.is(point.verb, point.resource) && call.nth == point.nth;
        let next = dead > 0 && dead <= point.again;
        if !first && !next
            || count.compare_exchange(dead, dead + 1, Ordering::SeqCst, Ordering::SeqCst).is_err()
        {
            return Fate::pass();
        }
        let rig = victim.clone();
        let die = move || rig.crash();
        if point.after { Fate::dies_after(die) } else { Fate::dies_before(die) }
    });
    everything::ends_the_same(&rig, &format!("{point:?}")).await;
    rig.proxy.behave();
    rig.kill();
    deaths.load(Ordering::SeqCst)
}
