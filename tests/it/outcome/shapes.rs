//! Jobs of every shape, and what becomes of their pods.

use serde_json::{Value, json};

use super::random::Random;

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Succeed,
    /// Fail with an exit code.
    Fail(i64),
    /// Fail with the condition DisruptionTarget, as one that is evicted.
    Disrupted,
    /// Be deleted while it runs, and then end with this exit code.
    Deleted(i64),
    /// Succeed, and be deleted at once.
    SucceedAndGo,
    /// Run with its containers restarted so often, and then succeed.
    Restart(i64),
    /// Run for ever; in a Job that is suspended, until it is resumed.
    Linger,
}

/// What somebody does to the Job; times in milliseconds after its creation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Nothing,
    Suspend { after: u64, lasting: u64 },
    Resume { after: u64 },
    Parallelism { after: u64, to: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) kind: &'static str,
    /// The Job's spec.
    pub(super) spec: Value,
    /// Of the pods, in the order in which they are created.
    pub(super) fates: Vec<Fate>,
    /// Of all the others.
    pub(super) rest: Fate,
    pub(super) act: Act,
}

/// The Job of a number: every kind in turn, with random details.
pub(super) fn shape(number: usize, random: &mut Random) -> Shape {
    let kinds: [fn(&mut Random) -> Shape; 21] = [
        plain,
        fails,
        plain,
        fails,
        retried,
        exhausted,
        indexed,
        indexed_fails,
        plain,
        rule_fails_job,
        rule_ignores,
        rule_counts,
        rule_of_conditions,
        success_policy,
        per_index,
        deadline,
        suspended,
        started_suspended,
        deleted,
        work_queue,
        odd,
    ];
    kinds[number % kinds.len()](random)
}

fn new(kind: &'static str, mut spec: Value) -> Shape {
    spec["template"] = json!({"spec": {
        "nodeName": super::NODE, "restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]
    }});
    Shape { kind, spec, fates: Vec::new(), rest: Fate::Succeed, act: Act::Nothing }
}

impl Shape {
    /// Whether a pod that failed is tried again, ten seconds later or more.
    pub(super) fn is_slow(&self) -> bool {
        let kinds =
            ["is retried", "rule Ignore", "rule of DisruptionTarget", "backoffLimitPerIndex", "pods deleted"];
        kinds.contains(&self.kind)
    }
    fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.spec[field] = value.into();
        self
    }
    fn fates(mut self, fates: Vec<Fate>) -> Self {
        self.fates = fates;
        self
    }
    fn rest(mut self, fate: Fate) -> Self {
        self.rest = fate;
        self
    }
    fn act(mut self, act: Act) -> Self {
        self.act = act;
        self
    }
}

/// One to four pods, some or all of them at once.
fn wide(random: &mut Random) -> (u64, Value) {
    let completions = random.range(1, 4);
    let parallelism = random.range(1, completions);
    (completions, json!({"completions": completions, "parallelism": parallelism}))
}

fn several(n: u64, fate: Fate) -> Vec<Fate> {
    (0..n).map(|_| fate).collect()
}

/// `fate` for one of `among` pods.
fn one(random: &mut Random, among: u64, fate: Fate) -> Vec<Fate> {
    let mut fates = several(random.range(0, among - 1), Fate::Succeed);
    fates.push(fate);
    fates
}

fn plain(random: &mut Random) -> Shape {
    let (_, spec) = wide(random);
    new("succeeds", spec).set("backoffLimit", random.pick(&[0, 3]))
}

fn fails(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    let code = Fate::Fail(random.pick(&[1, 3, 137]).into());
    let fates = one(random, completions, code);
    new("fails", spec).set("backoffLimit", 0).fates(fates)
}

/// The first retry comes after ten seconds, the second after twenty more.
fn retried(random: &mut Random) -> Shape {
    let (_, spec) = wide(random);
    let fates = if random.chance(25) {
        vec![Fate::Fail(1), Fate::Succeed, Fate::Fail(1)]
    } else {
        vec![Fate::Fail(1)]
    };
    let shape = new("is retried", spec).set("backoffLimit", 3).fates(fates);
    if random.chance(30) { shape.set("completionMode", "Indexed") } else { shape }
}

fn exhausted(random: &mut Random) -> Shape {
    let limit = random.range(1, 3);
    let shape = new("is exhausted", json!({"completions": 4, "parallelism": 4, "backoffLimit": limit}));
    let shape = shape.fates(several(limit + 1, Fate::Fail(2)));
    if random.chance(50) { shape.set("completionMode", "Indexed") } else { shape }
}

fn indexed(random: &mut Random) -> Shape {
    let (_, spec) = wide(random);
    new("indexed, succeeds", spec).set("completionMode", "Indexed").set("backoffLimit", random.pick(&[0, 3]))
}

fn indexed_fails(random: &mut Random) -> Shape {
    let fates = fails(random);
    Shape { kind: "indexed, fails", ..fates }.set("completionMode", "Indexed")
}

fn rules(action: &str, code: i64) -> Value {
    json!({"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": [code]}}]})
}

fn rule_fails_job(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    // An exit code that the rule does not know counts against the limit.
    let code = random.pick(&[42, 42, 1]);
    let fates = one(random, completions, Fate::Fail(code));
    new("rule FailJob", spec)
        .set("backoffLimit", if code == 1 { 0 } else { 3 })
        .set("podFailurePolicy", rules("FailJob", 42))
        .fates(fates)
}

fn rule_ignores(random: &mut Random) -> Shape {
    let (_, spec) = wide(random);
    new("rule Ignore", spec)
        .set("backoffLimit", 0)
        .set("podFailurePolicy", rules("Ignore", 7))
        .fates(vec![Fate::Fail(7)])
}

fn rule_counts(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    let fates = one(random, completions, Fate::Fail(9));
    new("rule Count", spec).set("backoffLimit", 0).set("podFailurePolicy", rules("Count", 9)).fates(fates)
}

fn rule_of_conditions(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    let action = random.pick(&["FailJob", "Ignore", "Count"]);
    let rules = json!({"rules": [{"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]});
    let fates = one(random, completions, Fate::Disrupted);
    new("rule of DisruptionTarget", spec).set("backoffLimit", 0).set("podFailurePolicy", rules).fates(fates)
}

fn success_policy(random: &mut Random) -> Shape {
    let rule = random.pick(&[
        json!({"succeededCount": 1}),
        json!({"succeededIndexes": "0"}),
        json!({"succeededCount": 3}),
    ]);
    let shape =
        new("successPolicy", json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"}))
            .set("backoffLimit", random.pick(&[0, 3]))
            .set("successPolicy", json!({"rules": [rule]}));
    match random.range(0, 2) {
        0 => shape,
        1 => shape.fates(vec![Fate::Succeed, Fate::Fail(1)]),
        _ => shape
            .fates(vec![Fate::Succeed, Fate::Linger, Fate::Succeed])
            .set("successPolicy", json!({"rules": [{"succeededCount": 2}]})),
    }
}

fn per_index(random: &mut Random) -> Shape {
    let completions = random.range(2, 4);
    let limit = random.pick(&[0, 0, 1]);
    let shape = new("backoffLimitPerIndex", json!({"completions": completions, "parallelism": completions}))
        .set("completionMode", "Indexed")
        .set("backoffLimitPerIndex", limit);
    let shape = if random.chance(50) { shape.set("maxFailedIndexes", random.range(0, 1)) } else { shape };
    match random.range(0, 3) {
        0 => shape,
        1 => shape.fates(vec![Fate::Succeed, Fate::Fail(1)]),
        2 => shape.fates(several(2, Fate::Fail(1))),
        _ => shape.set("podFailurePolicy", rules("FailIndex", 5)).fates(vec![Fate::Fail(5)]),
    }
}

/// Short ones, so that some strike while pods end.
fn deadline(random: &mut Random) -> Shape {
    let completions = random.range(1, 2);
    let shape = new("deadline", json!({"completions": completions, "parallelism": completions}))
        .set("backoffLimit", 0)
        .set("activeDeadlineSeconds", random.pick(&[1, 2, 4, 8, 12]));
    match random.range(0, 3) {
        0 => shape.rest(Fate::Linger),
        1 => {
            let fates = one(random, completions, Fate::Fail(1));
            shape.fates(fates)
        }
        _ => shape,
    }
}

fn suspended(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    let act = Act::Suspend { after: random.range(0, 2500), lasting: random.range(300, 2500) };
    let shape = new("suspended and resumed", spec).set("backoffLimit", 0).act(act);
    let shape = if random.chance(30) { shape.set("completionMode", "Indexed") } else { shape };
    match random.range(0, 3) {
        0 => shape.fates(several(completions, Fate::Linger)),
        1 => shape.fates(several(completions, Fate::Linger)).rest(Fate::Fail(1)),
        2 => {
            let fates = one(random, completions, Fate::Fail(1));
            shape.fates(fates)
        }
        _ => shape,
    }
}

fn started_suspended(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    let shape = new("created suspended", spec)
        .set("backoffLimit", 0)
        .set("suspend", true)
        .act(Act::Resume { after: random.range(0, 2000) });
    if random.chance(50) {
        let fates = one(random, completions, Fate::Fail(1));
        return shape.fates(fates);
    }
    shape
}

fn deleted(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    let code = random.pick(&[0, 0, 143]);
    let shape = new("pods deleted", spec)
        .set("backoffLimit", random.pick(&[0, 1, 3]))
        .set("podReplacementPolicy", random.pick(&["Failed", "TerminatingOrFailed"]));
    let shape = if random.chance(40) { shape.set("completionMode", "Indexed") } else { shape };
    let fate = random.pick(&[Fate::Deleted(code), Fate::Deleted(code), Fate::SucceedAndGo]);
    let fates = one(random, completions, fate);
    shape.fates(fates)
}

fn work_queue(random: &mut Random) -> Shape {
    let pods = random.range(1, 3);
    let shape = new("work queue", json!({"parallelism": pods})).set("backoffLimit", random.pick(&[0, 3]));
    match random.range(0, 2) {
        0 => {
            let fates = one(random, pods, Fate::Fail(1));
            shape.fates(fates)
        }
        _ => shape,
    }
}

fn odd(random: &mut Random) -> Shape {
    let (completions, spec) = wide(random);
    match random.range(0, 2) {
        0 => {
            let mut shape = new("OnFailure", spec).set("backoffLimit", 2);
            shape.spec["template"]["spec"]["restartPolicy"] = json!("OnFailure");
            let fates = one(random, completions, Fate::Restart(random.clone().pick(&[1, 3])));
            shape.fates(fates)
        }
        1 => new("parallelism changes", json!({"completions": 4, "parallelism": 3}))
            .set("backoffLimit", random.pick(&[0, 3]))
            .act(Act::Parallelism { after: random.range(0, 1500), to: random.range(1, 4) }),
        _ => new("nothing to do", json!({"completions": 0, "backoffLimit": 0})),
    }
}
