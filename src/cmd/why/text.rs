//! PURE: the answer, as text.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use super::diagnose::{diagnose, job_state};
use super::diagnosis::Diagnosis;
use super::pods::{containers, phase, state};
use super::seen::{Seen, time};
use crate::cmd::flow_view::FlowView;
use crate::cmd::style::Style;
use crate::cmd::words::{clean, cut, span};

/// An output that an expression saw is cut to that.
const LONGEST_VALUE: usize = 60;

/// All that can be said of `step`.
pub(super) fn text(view: &FlowView<'_>, step: usize, seen: &Seen, now: Timestamp, style: Style) -> String {
    let Diagnosis { why, fixes, .. } = diagnose(view, step, seen, now);
    let mut text = format!("{}\n\n", head(view, step, now, style));
    text += &format!("why:  {why}\n");
    for (n, fix) in fixes.iter().enumerate() {
        text += &format!("{}{fix}\n", if n == 0 { "do:   " } else { "      " });
    }
    let sections = [
        ("dependencies", dependencies(view, step, now)),
        ("when", when(view, step)),
        ("attempts", attempts(seen)),
        ("pods of the last attempt", pods(seen)),
        ("events", events(&seen.events, now)),
        ("not seen", seen.unread.clone()),
    ];
    for (title, lines) in sections {
        if !lines.is_empty() {
            text += &format!("\n{}\n", style.bold(title));
            for line in lines {
                text += &format!("  {}\n", line.trim_end());
            }
        }
    }
    text
}

fn head(view: &FlowView<'_>, step: usize, now: Timestamp, style: Style) -> String {
    let mut head = format!(
        "{} of {} in {}: {}",
        style.bold(view.dag.name(step)),
        view.name(),
        view.namespace(),
        style.bold(view.phase(step).as_str())
    );
    if let Some(took) = view.took(step, now) {
        let over = view.status(step).is_some_and(|status| status.completion_time.is_some());
        head += &format!(" {} {}", if over { "after" } else { "for" }, span(took));
    }
    if let Some(attempt) = view.attempt(step) {
        head += &format!(", {attempt}");
    }
    head
}

fn dependencies(view: &FlowView<'_>, step: usize, now: Timestamp) -> Vec<String> {
    let dag = &view.dag;
    let widest = |of: fn(&str, &str) -> usize| {
        let lengths = dag.dependencies(step).map(|step| of(dag.name(step), view.phase(step).as_str()));
        lengths.max().unwrap_or_default()
    };
    let (name, phase) = (widest(|name, _| name.len()), widest(|_, phase| phase.len()));
    dag.dependencies(step)
        .map(|step| {
            let took = view.took(step, now).map(span).unwrap_or_default();
            let (named, stands) = (dag.name(step), view.phase(step).as_str());
            format!("{named:<name$}  {stands:<phase$}  {took:>6}  {}", view.note(step))
        })
        .collect()
}

/// The condition, and the outputs that it names.
fn when(view: &FlowView<'_>, step: usize) -> Vec<String> {
    let Some(when) = view.flow.spec.steps[step].when.as_deref().map(clean) else { return Vec::new() };
    if when.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![when.clone()];
    for before in view.flow.status.iter().flat_map(|status| &status.steps) {
        for output in before.outputs.iter().flat_map(|outputs| &outputs.parameters) {
            let spellings = [
                format!("steps.{}.outputs.{}", before.name, output.name),
                format!("steps[\"{}\"].outputs.{}", before.name, output.name),
                format!("steps['{}'].outputs.{}", before.name, output.name),
            ];
            if let Some(spelling) = spellings.iter().find(|spelling| names(&when, spelling)) {
                lines.push(format!("{spelling} is {:?}", cut(&output.value, LONGEST_VALUE)));
            }
        }
    }
    lines
}

/// True if `text` contains the name `name`, and not only a longer one that begins like it.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let next = text[at + name.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    })
}

fn attempts(seen: &Seen) -> Vec<String> {
    let name = |at: usize| seen.attempts[at].job.metadata.name.as_deref().unwrap_or_default();
    let wide = (0..seen.attempts.len()).map(|at| name(at).len()).max().unwrap_or_default();
    let lines = seen.attempts.iter().enumerate();
    lines
        .map(|(at, attempt)| format!("{}  {:<wide$}  {}", attempt.number, name(at), job_state(&attempt.job)))
        .collect()
}

fn pods(seen: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    for pod in &seen.pods {
        lines.push(format!("{}  {}", pod.metadata.name.as_deref().unwrap_or_default(), phase(pod)));
        lines.extend(containers(pod).map(|container| format!("  {}  {}", container.name, state(container))));
    }
    lines
}

fn events(events: &[Event], now: Timestamp) -> Vec<String> {
    let line = |event: &Event| {
        let ago = time(event).map(|at| span(now.duration_since(at))).unwrap_or_default();
        let object = &event.involved_object;
        let about = format!(
            "{}/{}",
            object.kind.as_deref().unwrap_or_default().to_lowercase(),
            object.name.as_deref().unwrap_or_default()
        );
        let count = event.series.as_ref().and_then(|series| series.count).or(event.count);
        let count = count.filter(|n| *n > 1).map(|n| format!(" x{n}")).unwrap_or_default();
        let reason = event.reason.as_deref().map(clean).unwrap_or_default();
        let said = event.message.as_deref().map(clean).unwrap_or_default();
        let type_ = event.type_.as_deref().unwrap_or_default();
        format!("{ago:>6} ago  {type_:<7}  {reason}{count}  {about}: {said}")
    };
    events.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
