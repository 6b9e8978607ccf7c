use super::*;

const LEASE: Duration = Duration::from_secs(15);
const RENEW: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// A campaign of `me`, told by hand.
struct Hand {
    campaign: Campaign,
    now: Instant,
}

impl Hand {
    fn new() -> Self {
        let now = Instant::now();
        Self { campaign: Campaign::new("me".to_owned(), Timing::default(), now), now }
    }

    fn after(&mut self, span: Duration) -> &mut Self {
        self.now += span;
        self
    }

    fn next(&mut self) -> Next {
        self.campaign.next(self.now)
    }

    /// Returns how long it wants to wait.
    fn rest(&mut self) -> Duration {
        match self.next() {
            Next::Wait { until } => until - self.now,
            Next::Send(request) => panic!("{request:?} is due"),
        }
    }

    fn request(&mut self) -> Request {
        match self.next() {
            Next::Send(request) => request,
            Next::Wait { until } => panic!("nothing is due for {:?}", until - self.now),
        }
    }

    /// The call that is due is answered at once.
    fn answer(&mut self, response: Response) -> &mut Self {
        self.request();
        self.campaign.handle(self.now, self.now, response);
        self
    }

    fn leads(&mut self) -> bool {
        self.next();
        self.campaign.claim().holds(self.now)
    }

    fn leading() -> Self {
        let mut hand = Self::new();
        hand.answer(Response::Absent).answer(Response::Written(held("me", 1)));
        assert!(hand.leads());
        hand
    }
}

/// A record of `holder`, the `n`th of its kind.
fn held(holder: &str, n: i32) -> Record {
    Record {
        version: n.to_string(),
        holder: holder.to_owned(),
        lease: Some(LEASE),
        acquired: Some(Timestamp::UNIX_EPOCH),
        renewed: Timestamp::from_second(i64::from(n)).ok(),
        transitions: 3,
    }
}

fn following(holder: &str) -> Claim {
    Claim::Following { holder: Some(holder.to_owned()) }
}

#[test]
fn a_lease_that_nobody_made_is_made() {
    let mut hand = Hand::new();
    assert_eq!(hand.request(), Request::Read);
    hand.answer(Response::Absent);
    assert_eq!(hand.request(), Request::Write { version: None, acquired: None, transitions: 0 });
    hand.answer(Response::Written(held("me", 1)));
    let until = hand.now + RENEW;
    assert_eq!(hand.campaign.claim(), Claim::Leading { term: 1, until });
}

#[test]
fn a_released_lease_is_taken_at_once_and_the_change_is_counted() {
    let mut hand = Hand::new();
    hand.answer(Response::Found(held("", 7)));
    assert_eq!(
        hand.request(),
        Request::Write { version: Some("7".to_owned()), acquired: None, transitions: 4 }
    );
}

#[test]
fn a_held_lease_is_taken_when_it_has_not_changed_for_its_duration_and_not_a_moment_sooner() {
    let mut hand = Hand::new();
    hand.answer(Response::Found(held("other", 1)));
    let seen = hand.now;
    assert_eq!(hand.campaign.claim(), following("other"));
    loop {
        let rest = hand.rest();
        assert!(rest <= RETRY, "{rest:?}");
        hand.after(rest);
        if hand.now == seen + LEASE {
            break;
        }
        assert_eq!(hand.request(), Request::Read);
        // Somebody labels the Lease again and again: no sign of life.
        let touched = Record { version: format!("{:?}", hand.now), ..held("other", 1) };
        hand.answer(Response::Found(touched));
    }
    assert!(matches!(hand.request(), Request::Write { version: Some(_), acquired: None, transitions: 4 }));
}

#[test]
fn a_holder_that_renews_is_left_alone_however_wrong_its_clock_is() {
    let mut hand = Hand::new();
    for n in 0..100 {
        // Its clock goes backwards, a day at a time.
        let renewed = Timestamp::from_second(-86_400 * i64::from(n)).ok();
        hand.answer(Response::Found(Record { renewed, ..held("other", n) }));
        let rest = hand.rest();
        hand.after(rest);
    }
    assert_eq!(hand.request(), Request::Read);
}

#[test]
fn a_lease_that_was_shortened_by_hand_is_still_left_alone_for_our_own_duration() {
    let mut hand = Hand::new();
    hand.answer(Response::Found(Record { lease: Some(Duration::from_secs(1)), ..held("other", 1) }));
    hand.after(LEASE * 999 / 1000);
    assert_eq!(hand.request(), Request::Read);
}

#[test]
fn a_lease_that_was_lengthened_to_years_is_left_alone_for_an_hour() {
    let mut hand = Hand::new();
    hand.answer(Response::Found(Record { lease: Some(Duration::from_secs(1 << 31)), ..held("other", 1) }));
    hand.after(Duration::from_hours(1));
    assert!(matches!(hand.request(), Request::Write { .. }));
}

#[test]
fn a_holder_renews_every_retry_period_over_what_it_wrote_last() {
    let mut hand = Hand::leading();
    assert_eq!(hand.rest(), RETRY);
    hand.after(RETRY);
    let acquired = Some(Timestamp::UNIX_EPOCH);
    assert_eq!(hand.request(), Request::Write { version: Some("1".to_owned()), acquired, transitions: 3 });
    hand.answer(Response::Written(held("me", 2)));
    assert_eq!(hand.campaign.claim(), Claim::Leading { term: 1, until: hand.now + RENEW });
}

#[test]
fn a_claim_counts_from_when_the_renewal_was_sent() {
    let mut hand = Hand::leading();
    hand.after(RETRY).request();
    let sent = hand.now;
    hand.after(Duration::from_secs(3));
    hand.campaign.handle(sent, hand.now, Response::Written(held("me", 2)));
    assert_eq!(hand.campaign.claim(), Claim::Leading { term: 1, until: sent + RENEW });
}

#[test]
fn a_holder_that_cannot_renew_steps_down_at_the_renew_deadline_and_campaigns_on() {
    let mut hand = Hand::leading();
    let won = hand.now;
    while hand.leads() {
        match hand.next() {
            Next::Wait { until } => hand.now = until,
            Next::Send(_) => {
                let deadline = hand.campaign.deadline(hand.now);
                assert!(deadline <= won + RENEW, "no call outlives the claim");
                let sent = hand.now;
                hand.now = deadline;
                hand.campaign.handle(sent, hand.now, Response::Unknown);
            }
        }
    }
    assert_eq!(hand.now, won + RENEW);
    assert_eq!(hand.campaign.claim(), Claim::Following { holder: None });
    hand.answer(Response::Found(held("me", 1)));
    hand.answer(Response::Written(held("me", 2)));
    assert_eq!(hand.campaign.claim(), Claim::Leading { term: 2, until: hand.now + RENEW });
}

#[test]
fn a_holder_that_finds_another_name_steps_down_at_once() {
    let mut hand = Hand::leading();
    hand.after(RETRY).answer(Response::Conflict).answer(Response::Found(held("other", 5)));
    assert_eq!(hand.campaign.claim(), following("other"));
    assert!(!hand.campaign.may_hold());
}

#[test]
fn a_holder_whose_name_was_taken_off_or_whose_lease_was_deleted_begins_another_term() {
    for response in [Response::Found(held("", 5)), Response::Absent] {
        let mut hand = Hand::leading();
        hand.after(RETRY).answer(Response::Conflict).answer(response);
        assert!(!hand.campaign.claim().holds(hand.now));
        // The record that was read is fresh: it is written over immediately.
        assert!(matches!(hand.request(), Request::Write { acquired: None, .. }));
        hand.answer(Response::Written(held("me", 6)));
        assert_eq!(hand.campaign.claim().term(), Some(2));
    }
}

#[test]
fn a_holder_whose_lease_was_labelled_goes_on_with_its_term() {
    let mut hand = Hand::leading();
    hand.after(RETRY).answer(Response::Conflict);
    hand.answer(Response::Found(Record { version: "9".to_owned(), ..held("me", 1) }));
    assert!(matches!(hand.request(), Request::Write { version: Some(version), .. } if version == "9"));
    hand.answer(Response::Written(held("me", 2)));
    assert_eq!(hand.campaign.claim().term(), Some(1));
}

#[test]
fn an_answer_that_comes_after_the_renew_deadline_is_no_claim() {
    let mut hand = Hand::new();
    hand.answer(Response::Absent).request();
    let sent = hand.now;
    hand.after(RENEW);
    hand.campaign.handle(sent, hand.now, Response::Written(held("me", 1)));
    assert!(!hand.leads());
    assert!(hand.campaign.may_hold());
    assert!(matches!(hand.request(), Request::Write { version: Some(_), .. }));
}

#[test]
fn a_renewal_that_becomes_known_after_the_claim_ran_out_begins_another_term() {
    let mut hand = Hand::leading();
    hand.after(Duration::from_secs(9)).request();
    let sent = hand.now;
    hand.after(Duration::from_secs(4)); // the process was stopped, say
    hand.campaign.handle(sent, hand.now, Response::Written(held("me", 2)));
    assert_eq!(hand.campaign.claim(), Claim::Leading { term: 2, until: sent + RENEW });
}

#[test]
fn a_candidate_that_is_beaten_again_and_again_does_not_call_without_a_pause() {
    let mut hand = Hand::new();
    let (start, mut calls) = (hand.now, 0);
    while hand.now < start + Duration::from_mins(1) {
        match hand.next() {
            Next::Wait { until } => hand.now = until,
            Next::Send(Request::Read) => {
                calls += 1;
                hand.answer(Response::Found(held("", calls)));
            }
            Next::Send(Request::Write { .. }) => {
                calls += 1;
                hand.answer(Response::Conflict);
            }
        }
    }
    assert!(calls < 90, "{calls} calls in a minute");
}

#[test]
fn a_call_may_take_half_the_renew_deadline() {
    let hand = Hand::new();
    assert_eq!(hand.campaign.deadline(hand.now), hand.now + RENEW / 2);
}

#[test]
fn who_is_not_fit_gives_up_its_term_and_writes_no_more_until_it_is() {
    let mut hand = Hand::leading();
    let now = hand.now;
    assert!(hand.campaign.stand_aside(true, now), "a term ends");
    assert!(!hand.leads());
    assert!(hand.campaign.may_hold(), "the Lease runs out, or is released at the end");
    for _ in 0..20 {
        let rest = hand.rest();
        assert!(rest > Duration::ZERO && rest <= RETRY);
        let now = hand.after(rest).now;
        assert!(!hand.campaign.stand_aside(true, now));
    }
    // Fit again, and another leads.
    let now = hand.now;
    assert!(!hand.campaign.stand_aside(false, now));
    assert_eq!(hand.request(), Request::Read);
    hand.answer(Response::Found(held("other", 7)));
    assert!(!hand.leads());
}
