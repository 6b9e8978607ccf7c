//! Campaigns against each other in simulated time: one Lease, candidates whose clocks have any offset and run up to a
//! twentieth too fast or too slow, calls that are lost, late or answered late, candidates that die, stop or are
//! stopped for a while.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use headworks_testkit::SplitMix64;
use jiff::Timestamp;
use proptest::prelude::*;
use tokio::time::Instant;

use super::Timing;
use super::campaign::{Campaign, Next, Record, Request, Response};

/// True time, from the beginning of the simulation.
type Time = Duration;

/// The tightest timing that is allowed.
fn timing() -> Timing {
    let [lease, renew, retry] = [15_000, 13_500, 500].map(Duration::from_millis);
    Timing::new(lease, renew, retry).unwrap()
}

/// Rates and sizes of what goes wrong.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Per cent of the calls that are never made.
    lost: u64,
    /// Per cent of the answers that never come.
    mute: u64,
    /// The longest way to the API server, in milliseconds; the way back is as long at most.
    way: u64,
    /// Per cent of the steps before which a process loses the API server, for up to a minute.
    cut: u64,
    /// Per cent of the steps before which a process stands still, for a second to a minute.
    stall: u64,
    /// Per cent of the steps before which a process dies, and another takes its place.
    die: u64,
    /// Per cent of the steps before which a process ends in order, and another takes its place.
    end: u64,
}

const CALM: Weather = Weather { lost: 0, mute: 0, way: 50, cut: 0, stall: 0, die: 0, end: 0 };

/// All randomness, so that a seed determines the whole run.
struct Dice(SplitMix64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0.draw() % sides
    }

    fn hits(&mut self, per_cent: u64) -> bool {
        self.roll(100) < per_cent
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.roll(most * 1_000 + 1))
    }
}

/// A monotonic clock: some offset, some speed.
#[derive(Clone, Copy)]
struct Clock {
    zero: Instant,
    /// Its microseconds in a second of true time.
    speed: u64,
}

impl Clock {
    fn at(self, time: Time) -> Instant {
        self.zero + Duration::from_nanos(u64::try_from(time.as_micros()).unwrap() * self.speed / 1_000)
    }

    /// The first true time at which it shows `instant` or more.
    fn when(self, instant: Instant) -> Time {
        let nanos = u64::try_from(instant.saturating_duration_since(self.zero).as_nanos()).unwrap();
        Duration::from_micros((nanos * 1_000).div_ceil(self.speed))
    }
}

struct Candidate {
    campaign: Campaign,
    name: String,
    clock: Clock,
    /// The call that is under way, by number.
    pending: Option<u64>,
    /// Until when none of its calls arrives.
    cut: Time,
}

enum Event {
    /// Asks a candidate what it does next.
    Step { who: usize, life: u64 },
    /// A call reaches the API server, and its answer leaves.
    Arrive {
        who: usize,
        life: u64,
        number: u64,
        name: String,
        request: Request,
        sent: Instant,
        back: Option<Duration>,
    },
    /// An answer reaches its candidate, or the time for it is over.
    Response { who: usize, life: u64, number: u64, sent: Instant, response: Response },
    /// A candidate that has stopped clears its name.
    Release { name: String },
}

struct World {
    dice: Dice,
    weather: Weather,
    now: Time,
    queue: BinaryHeap<Reverse<(Time, u64, usize)>>,
    events: Vec<Option<Event>>,
    lease: Option<Record>,
    versions: u64,
    calls: u64,
    lives: Vec<u64>,
    candidates: Vec<Candidate>,
    zero: Instant,
}

impl World {
    fn new(seed: u64, candidates: usize, weather: Weather) -> Self {
        let mut world = Self {
            dice: Dice(SplitMix64::new(seed)),
            weather,
            now: Time::ZERO,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            lease: None,
            versions: 0,
            calls: 0,
            lives: vec![0; candidates],
            candidates: Vec::new(),
            zero: Instant::now(),
        };
        for who in 0..candidates {
            let candidate = world.newcomer(who);
            world.candidates.push(candidate);
            world.step_after(who, Duration::ZERO);
        }
        world
    }

    fn newcomer(&mut self, who: usize) -> Candidate {
        let zero = self.zero + self.dice.millis(1_000_000);
        // Often as slow or as fast as is allowed.
        let speed = 950_000 + self.dice.roll(200_001).saturating_sub(50_000).min(100_000);
        let clock = Clock { zero, speed };
        let name = format!("{who}/{}", self.lives[who]);
        let campaign = Campaign::new(name.clone(), timing(), clock.at(self.now));
        Candidate { campaign, name, clock, pending: None, cut: Time::ZERO }
    }

    fn push(&mut self, at: Time, event: Event) {
        self.events.push(Some(event));
        let order = self.dice.roll(u64::MAX);
        self.queue.push(Reverse((at.max(self.now), order, self.events.len() - 1)));
    }

    fn step_after(&mut self, who: usize, span: Duration) {
        let life = self.lives[who];
        self.push(self.now + span, Event::Step { who, life });
    }

    /// The candidates that believe to lead, now.
    fn leaders(&self) -> Vec<&str> {
        let leads = |one: &&Candidate| one.campaign.claim().holds(one.clock.at(self.now));
        self.candidates.iter().filter(leads).map(|one| one.name.as_str()).collect()
    }

    /// Lets time pass until `end`; whenever anything happens at most one may believe to lead.
    fn run_until(&mut self, end: Time, mut seen: impl FnMut(&Self)) {
        while let Some(Reverse((at, _, index))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            if let Some(event) = self.events[index].take() {
                self.happen(event);
            }
            let leaders = self.leaders();
            assert!(leaders.len() <= 1, "at {at:?} {leaders:?} all lead");
            seen(self);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step { who, life } if life == self.lives[who] => self.step(who),
            Event::Arrive { who, life, number, name, request, sent, back } => {
                // The sender may be gone; its request arrives all the same.
                let response = self.serve(request, &name);
                if let Some(back) = back {
                    self.push(self.now + back, Event::Response { who, life, number, sent, response });
                }
            }
            Event::Response { who, life, number, sent, response } if life == self.lives[who] => {
                let candidate = &mut self.candidates[who];
                if candidate.pending == Some(number) {
                    candidate.pending = None;
                    candidate.campaign.handle(sent, candidate.clock.at(self.now), response);
                    self.step(who);
                }
            }
            Event::Release { name } => {
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.holder == name) {
                    self.versions += 1;
                    lease.version = self.versions.to_string();
                    lease.holder = String::new();
                }
            }
            Event::Step { .. } | Event::Response { .. } => {}
        }
    }

    /// Serves a request as the API server does.
    fn serve(&mut self, request: Request, name: &str) -> Response {
        match request {
            Request::Read => self.lease.clone().map_or(Response::Absent, Response::Found),
            Request::Write { version, acquired, transitions } => {
                if self.lease.as_ref().map(|lease| &lease.version) != version.as_ref() {
                    return Response::Conflict;
                }
                self.versions += 1;
                // The holder's wall clock is worth nothing; that it is another time each time is all that counts.
                let time = Timestamp::from_microsecond(i64::try_from(self.versions).unwrap() * 7).ok();
                let record = Record {
                    version: self.versions.to_string(),
                    holder: name.to_owned(),
                    lease: Some(timing().lease()),
                    acquired: acquired.or(time),
                    renewed: time,
                    transitions,
                };
                self.lease = Some(record.clone());
                Response::Written(record)
            }
        }
    }

    fn step(&mut self, who: usize) {
        if self.dice.hits(self.weather.stall) {
            let stall = Duration::from_secs(1) + self.dice.millis(59_000);
            return self.step_after(who, stall);
        }
        let (dies, ends) = (self.dice.hits(self.weather.die), self.dice.hits(self.weather.end));
        if dies || ends {
            let name = self.candidates[who].name.clone();
            if ends && self.candidates[who].campaign.may_hold() {
                let way = self.way();
                self.push(self.now + way, Event::Release { name });
            }
            self.lives[who] += 1;
            self.candidates[who] = self.newcomer(who);
            let pause = self.dice.millis(5_000);
            return self.step_after(who, pause);
        }
        let cut = self.dice.hits(self.weather.cut).then(|| self.now + self.dice.millis(60_000));
        let candidate = &mut self.candidates[who];
        candidate.cut = cut.unwrap_or(candidate.cut);
        let now = candidate.clock.at(self.now);
        match candidate.campaign.next(now) {
            Next::Wait { until } => {
                assert!(until > now, "a wait for nothing");
                let life = self.lives[who];
                let at = candidate.clock.when(until);
                self.push(at, Event::Step { who, life });
            }
            Next::Send(request) => self.send(who, now, request),
        }
    }

    /// Draws the time that a message takes: mostly short, sometimes as long as this weather allows.
    fn way(&mut self) -> Duration {
        let longest = self.weather.way;
        let longest = if self.dice.hits(80) { longest.min(50) } else { longest };
        self.dice.millis(longest)
    }

    fn send(&mut self, who: usize, sent: Instant, request: Request) {
        self.calls += 1;
        let (number, life) = (self.calls, self.lives[who]);
        let candidate = &mut self.candidates[who];
        candidate.pending = Some(number);
        let name = candidate.name.clone();
        let (cut, deadline) = (candidate.cut, candidate.clock.when(candidate.campaign.deadline(sent)));
        self.push(deadline, Event::Response { who, life, number, sent, response: Response::Unknown });
        if cut <= self.now && !self.dice.hits(self.weather.lost) {
            let (way, back) = (self.way(), self.way());
            let back = Some(back).filter(|_| !self.dice.hits(self.weather.mute));
            self.push(self.now + way, Event::Arrive { who, life, number, name, request, sent, back });
        }
    }
}

fn weathers() -> impl Strategy<Value = Weather> {
    let way = prop_oneof![1..50_u64, 1..15_000_u64];
    (0..60_u64, 0..40_u64, way, 0..6_u64, 0..6_u64, 0..3_u64, 0..3_u64)
        .prop_map(|(lost, mute, way, cut, stall, die, end)| Weather { lost, mute, way, cut, stall, die, end })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_two_lead_and_when_the_weather_calms_one_leads_again_and_goes_on(
        seed: u64,
        candidates in 1..6_usize,
        weather in weathers(),
    ) {
        let mut world = World::new(seed, candidates, weather);
        let mut led = false;
        world.run_until(Duration::from_mins(10), |world| led |= !world.leaders().is_empty());
        prop_assert!(led || weather.lost + weather.mute > 50 || weather.way > 5_000 || weather.cut > 3, "the storm was too much for anybody");

        world.weather = CALM;
        // A stall of a minute, or a late request, may still be under way. Then: a lease that runs out by a slow
        // clock, the calls' limit and a retry.
        let calm = world.now + Duration::from_mins(1) + Duration::from_secs(15 + 14 + 7 + 2) * 20 / 19;
        world.run_until(calm, |_| {});
        let leader = world.leaders().first().map(|&name| name.to_owned());
        prop_assert!(leader.is_some(), "nobody leads");

        let end = calm + Duration::from_mins(3);
        world.run_until(end, |world| {
            assert_eq!(world.leaders().first().copied(), leader.as_deref(), "another leads");
        });
    }

    #[test]
    fn in_calm_weather_a_dead_leader_is_replaced_within_the_lease_and_a_retry(seed: u64, candidates in 2..6_usize) {
        let mut world = World::new(seed, candidates, CALM);
        world.run_until(Duration::from_mins(1), |_| {});
        let leader = world.leaders().first().map(|&name| name.to_owned());
        let who = world.candidates.iter().position(|one| Some(&one.name) == leader.as_ref()).unwrap();
        world.lives[who] += 1; // it is heard no more
        world.candidates[who] = world.newcomer(who);
        let died = world.now;
        let mut replaced = None;
        world.run_until(died + Duration::from_mins(1), |world| {
            if replaced.is_none() && !world.leaders().is_empty() {
                replaced = Some(world.now.saturating_sub(died));
            }
        });
        let took = replaced.unwrap();
        // By the slowest clock, and two calls that take up to 100 ms each.
        prop_assert!(took <= Duration::from_millis(15_500) * 20 / 19 + Duration::from_millis(200), "{took:?}");
    }

    #[test]
    fn in_calm_weather_a_released_lease_is_taken_within_a_retry(seed: u64, candidates in 2..6_usize) {
        let mut world = World::new(seed, candidates, CALM);
        world.run_until(Duration::from_mins(1), |_| {});
        let leader = world.leaders().first().map(|&name| name.to_owned()).unwrap();
        let who = world.candidates.iter().position(|one| one.name == leader).unwrap();
        world.lives[who] += 1;
        world.candidates[who] = world.newcomer(who);
        let (ended, mut replaced) = (world.now, None);
        world.push(ended, Event::Release { name: leader });
        world.run_until(ended + Duration::from_mins(1), |world| {
            if replaced.is_none() && !world.leaders().is_empty() {
                replaced = Some(world.now.saturating_sub(ended));
            }
        });
        let took = replaced.unwrap();
        prop_assert!(took <= Duration::from_millis(500) * 20 / 19 + Duration::from_millis(300), "{took:?}");
    }
}
