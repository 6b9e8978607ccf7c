//! The claim of a candidate to lead, and a way to act on it.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The state of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This candidate leads.
    Leading {
        /// The number of this term, counted from 1: a claim that was lost and won again has another number.
        term: u64,
        /// It leads no longer than this, unless the claim is renewed before.
        until: Instant,
    },
    /// Another candidate leads, or none.
    Following {
        /// The leader, as far as is known.
        holder: Option<String>,
    },
}

impl Claim {
    /// The term, while this candidate leads.
    pub fn term(&self) -> Option<u64> {
        match self {
            Self::Leading { term, .. } => Some(*term),
            Self::Following { .. } => None,
        }
    }

    /// Tests whether the claim holds at `now`.
    pub fn holds(&self, now: Instant) -> bool {
        matches!(self, Self::Leading { until, .. } if now < *until)
    }
}

/// Runs `work` whenever `claim` is won, until `stopped`.
///
/// `work` gets a token, which is cancelled as soon as the claim is lost, or runs out without being renewed. It has to
/// look at the token before each write, and hand it to whatever it spawns. At the same moment its future is dropped,
/// and with it whatever it waits for: a call in flight is given up. If `work` ends by itself it is run again only in
/// the next term.
pub async fn while_leading<W, F>(mut claim: watch::Receiver<Claim>, stopped: CancellationToken, mut work: W)
where
    W: FnMut(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let mut done = None;
    loop {
        let term = tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            term = win(&mut claim, done) => term,
        };
        let Some(term) = term else {
            return stopped.cancelled().await;
        };
        done = Some(term);
        let token = stopped.child_token();
        // The guard cancels the token however this ends, by panic too: whatever `work` has spawned sees it.
        let guard = token.clone().drop_guard();
        let lost = async {
            lose(&mut claim, term).await;
            // Before `work` is dropped, so that nothing of it goes on meanwhile.
            drop(guard);
        };
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = lost => {}
            () = work(token) => {}
        }
    }
}

/// Waits for a term other than `done`. None: the campaign is over.
async fn win(claim: &mut watch::Receiver<Claim>, done: Option<u64>) -> Option<u64> {
    loop {
        let seen = claim.borrow_and_update().clone();
        if let Some(term) = seen.term()
            && done != Some(term)
            && seen.holds(Instant::now())
        {
            return Some(term);
        }
        claim.changed().await.ok()?;
    }
}

/// Waits until `term` is over, because a new claim says so or its time is up.
async fn lose(claim: &mut watch::Receiver<Claim>, term: u64) {
    loop {
        let until = match *claim.borrow_and_update() {
            Claim::Leading { term: is, until } if is == term => until,
            _ => return,
        };
        tokio::select! {
            biased;
            () = sleep_until(until) => return,
            // Without a campaign nobody renews: the claim runs out by itself.
            Ok(()) = claim.changed() => {}
            else => return sleep_until(until).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    /// A claim set by hand, and what `while_leading` does about it.
    struct Rig {
        claim: watch::Sender<Claim>,
        stopped: CancellationToken,
        /// The tokens that were handed out, in order.
        tokens: Arc<Mutex<Vec<CancellationToken>>>,
        task: tokio::task::JoinHandle<()>,
    }

    const NOBODY: Claim = Claim::Following { holder: None };

    fn leading(term: u64, span: Duration) -> Claim {
        Claim::Leading { term, until: Instant::now() + span }
    }

    impl Rig {
        fn new() -> Self {
            let (claim, seen) = watch::channel(NOBODY);
            let (stopped, tokens) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
            let handed = tokens.clone();
            let task = tokio::spawn(while_leading(seen, stopped.clone(), move |token| {
                handed.lock().unwrap().push(token);
                std::future::pending()
            }));
            Self { claim, stopped, tokens, task }
        }

        /// The token of the `n`th run, as soon as there is one.
        async fn run(&self, n: usize) -> CancellationToken {
            within(async {
                loop {
                    if let Some(token) = self.tokens.lock().unwrap().get(n) {
                        return token.clone();
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await
        }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), future).await.expect("within half a minute")
    }

    #[tokio::test]
    async fn work_is_stopped_on_loss_and_begun_again_at_the_next_win() {
        let rig = Rig::new();
        rig.claim.send_replace(leading(1, Duration::from_mins(1)));
        let first = rig.run(0).await;
        assert!(!first.is_cancelled());
        rig.claim.send_replace(NOBODY);
        within(first.cancelled()).await;
        rig.claim.send_replace(leading(2, Duration::from_mins(1)));
        assert!(!rig.run(1).await.is_cancelled());
    }

    #[tokio::test]
    async fn a_renewal_disturbs_nobody_and_another_term_does() {
        let rig = Rig::new();
        rig.claim.send_replace(leading(1, Duration::from_mins(1)));
        let first = rig.run(0).await;
        rig.claim.send_replace(leading(1, Duration::from_mins(2)));
        tokio::task::yield_now().await;
        assert!(!first.is_cancelled());
        // Lost and won again before anybody looked.
        rig.claim.send_replace(leading(2, Duration::from_mins(2)));
        within(first.cancelled()).await;
        assert!(!rig.run(1).await.is_cancelled());
    }

    #[tokio::test]
    async fn a_claim_that_nobody_renews_runs_out_by_itself() {
        let rig = Rig::new();
        let claim = leading(1, Duration::from_millis(100));
        rig.claim.send_replace(claim.clone());
        let first = rig.run(0).await;
        within(first.cancelled()).await;
        assert!(!claim.holds(Instant::now()));
    }

    #[tokio::test]
    async fn a_campaign_that_is_gone_leaves_its_last_claim_until_that_runs_out() {
        let Rig { claim, stopped, tokens, task } = Rig::new();
        let rig = Rig { claim: watch::channel(NOBODY).0, stopped, tokens, task };
        claim.send_replace(leading(1, Duration::from_millis(200)));
        let first = rig.run(0).await;
        drop(claim);
        within(first.cancelled()).await;
        rig.stopped.cancel();
        within(rig.task).await.unwrap();
    }

    #[tokio::test]
    async fn when_stopped_it_ends_and_so_does_the_work() {
        let rig = Rig::new();
        rig.claim.send_replace(leading(1, Duration::from_mins(1)));
        let first = rig.run(0).await;
        rig.stopped.cancel();
        within(rig.task).await.unwrap();
        assert!(first.is_cancelled());
    }
}
