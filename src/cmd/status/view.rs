//! PURE: a flow and its steps as text.

use std::collections::HashSet;

use headworks::flows::api::{FlowPhase, JobFlow, StepPhase};
use jiff::Timestamp;

use super::critical;
use crate::cmd::flow_view::FlowView;
use crate::cmd::style::Style;
use crate::cmd::tree::{Branch, tree};
use crate::cmd::words::{clean, count, cut, list, span};

/// The form of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Columns; lines are cut to that. None: they are not.
    pub(super) width: Option<usize>,
    /// Lines; where there are more steps, those that nobody waits for are left out. None: all are shown.
    pub(super) height: Option<usize>,
    /// Colours.
    pub(super) style: Style,
    /// A tree, or a list.
    pub(super) tree: bool,
}

/// A step's line.
struct Row {
    name: String,
    phase: StepPhase,
    took: String,
    note: String,
}

impl View {
    /// The whole picture.
    pub(super) fn render(self, flow: &JobFlow, now: Timestamp) -> String {
        let view = FlowView::new(flow);
        let (path, total) = critical::path(&view, now);
        let head = Self::head(&view, now);
        let mut foot = Vec::new();
        if !path.is_empty() {
            let names = chain(&path.iter().map(|&step| view.dag.name(step)).collect::<Vec<_>>());
            let so_far = if view.is_over() { "" } else { " so far" };
            foot.push(format!("* critical path: {names} ({}{so_far})", span(total)));
        }
        foot.extend(advice(&view));
        if !foot.is_empty() {
            foot.insert(0, String::new());
        }
        let rows = self.rows(&view, &path.into_iter().collect(), now);
        let room = self.height.map(|height| height.saturating_sub(head.len() + foot.len()).max(2));
        let (rows, left_out) = shorten(rows, room);
        let mut text = head.iter().map(|line| self.line(line)).collect::<String>();
        for line in self.table(&rows) {
            text += &line;
        }
        text.extend(left_out.map(|line| self.line(&line)));
        text.extend(foot.iter().map(|line| self.line(line)));
        text
    }

    fn line(self, text: &str) -> String {
        let text = text.trim_end();
        format!("{}\n", self.width.map_or_else(|| text.to_owned(), |width| cut(text, width)))
    }

    /// The lines above the steps; the first line is the flow's own.
    fn head(view: &FlowView<'_>, now: Timestamp) -> Vec<String> {
        let status = view.flow.status.as_ref();
        let phase = view.flow_phase().map_or("no status yet", FlowPhase::as_str);
        let mut first = format!("{}  {phase}", view.name());
        if let Some(progress) = status.and_then(|status| status.progress.as_ref()) {
            first += &format!("  {}/{}", progress.completed_steps, progress.total_steps);
        }
        if let Some(took) = view.flow_took(now) {
            first += &format!("  {}", span(took));
        }
        let estimate = status.and_then(|status| status.estimated_completion_time.as_ref());
        if let Some(left) = estimate.filter(|_| !view.is_over()).map(|end| end.0.duration_since(now)) {
            first += &format!("  about {} left", span(left));
        }
        let mut lines = vec![first];
        let said = status.and_then(|status| status.message.as_deref()).map(clean);
        lines.extend(said.filter(|said| !said.is_empty()));
        lines.extend(view.no_longer_valid());
        if view.flow.metadata.deletion_timestamp.is_some() {
            lines.push("it is being deleted".to_owned());
        }
        if status.and_then(|status| status.phase).is_none() {
            lines.push(
                "headworks has not looked at it; does it run? kubectl -n headworks-system get pods"
                    .to_owned(),
            );
        }
        lines.push(String::new());
        lines
    }

    fn rows(self, view: &FlowView<'_>, critical: &HashSet<usize>, now: Timestamp) -> Vec<Row> {
        let mark = |step: usize| if critical.contains(&step) { "*" } else { "" };
        let row = |step: usize, head: &str| {
            let phase = view.phase(step);
            let mut note = view.note(step);
            if let Some(due) = view.due(step).filter(|due| *due > now) {
                note += &format!(" (in {})", span(due.duration_since(now)));
            }
            Row {
                name: format!("{head}{}{}", view.dag.name(step), mark(step)),
                phase,
                took: view.took(step, now).map(span).unwrap_or_default(),
                note,
            }
        };
        if self.tree && self.height.is_none_or(|height| view.dag.len() + 8 <= height) {
            tree(&view.dag).into_iter().map(|Branch { step, head, .. }| row(step, &head)).collect()
        } else {
            (0..view.dag.len()).map(|step| row(step, "")).collect()
        }
    }

    /// The lines of the steps, in columns.
    fn table(self, rows: &[Row]) -> Vec<String> {
        let widest = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
        let name = widest(|row| row.name.chars().count());
        let phase = widest(|row| row.phase.as_str().len());
        let took = widest(|row| row.took.len());
        let lines = rows.iter().map(|row| {
            let text = format!(
                "{:<name$}  {:<phase$}  {:>took$}  {}",
                row.name,
                row.phase.as_str(),
                row.took,
                row.note
            );
            let line = self.line(&text);
            // Painted after it was cut, since paint takes no room.
            let (before, after) =
                line.split_at(line.char_indices().nth(name + 2).map_or(line.len(), |(at, _)| at));
            match after.strip_prefix(row.phase.as_str()) {
                Some(after) => format!("{before}{}{after}", self.paint(row.phase)),
                None => line,
            }
        });
        lines.collect()
    }

    fn paint(self, phase: StepPhase) -> String {
        let text = phase.as_str();
        match phase {
            StepPhase::Succeeded => self.style.good(text),
            StepPhase::Failed => self.style.error(text),
            StepPhase::PendingApproval => self.style.warning(text),
            StepPhase::Running => self.style.frame(text),
            StepPhase::Pending | StepPhase::Skipped | StepPhase::Cancelled | StepPhase::Unknown => {
                text.to_owned()
            }
        }
    }
}

/// `a -> b -> c`, the middle left out of a long one.
fn chain(names: &[&str]) -> String {
    match names {
        [first @ .., last] if first.len() > 5 => {
            format!("{} -> ({} more) -> {last}", first[..3].join(" -> "), first.len() - 3)
        }
        names => names.join(" -> "),
    }
}

/// The commands to run next, where somebody has to act.
fn advice(view: &FlowView<'_>) -> Vec<String> {
    let steps = || 0..view.dag.len();
    let mut lines = Vec::new();
    let waiting = steps().filter(|&step| view.phase(step) == StepPhase::PendingApproval);
    lines.extend(
        waiting
            .take(3)
            .map(|step| format!("to go on: headworks approve {} {}", view.argument(), view.dag.name(step))),
    );
    let failed = steps().find(|&step| {
        view.phase(step) == StepPhase::Failed && view.flow.spec.steps[step].continue_on_failure != Some(true)
    });
    if let Some(step) = failed.filter(|_| view.flow_phase() == Some(FlowPhase::Failed)) {
        lines.push(format!("to see why: headworks why {} {}", view.argument(), view.dag.name(step)));
    }
    lines
}

/// The rows that fit, the liveliest first to stay, in their order; and what is said of the others.
fn shorten(rows: Vec<Row>, room: Option<usize>) -> (Vec<Row>, Option<String>) {
    let Some(room) = room.filter(|room| *room < rows.len()) else { return (rows, None) };
    let rank = |row: &Row| match row.phase {
        StepPhase::PendingApproval => 0,
        StepPhase::Failed => 1,
        StepPhase::Running => 2,
        StepPhase::Pending | StepPhase::Unknown => 3,
        StepPhase::Cancelled | StepPhase::Skipped => 4,
        StepPhase::Succeeded => 5,
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&at| (rank(&rows[at]), at));
    let kept: HashSet<usize> = order.into_iter().take(room - 1).collect();
    let (mut shown, mut hidden) = (Vec::new(), Vec::new());
    for (at, row) in rows.into_iter().enumerate() {
        if kept.contains(&at) {
            shown.push(row);
        } else {
            hidden.push(row.phase);
        }
    }
    let counts: Vec<String> = StepPhase::ALL
        .iter()
        .chain(&[StepPhase::Unknown])
        .map(|phase| (phase, hidden.iter().filter(|hidden| *hidden == phase).count()))
        .filter(|(_, n)| *n > 0)
        .map(|(phase, n)| format!("{n} {phase}"))
        .collect();
    let counts: Vec<&str> = counts.iter().map(String::as_str).collect();
    let more = count(hidden.len(), "more step");
    (shown, Some(format!("and {more}: {}", list(&counts, counts.len()))))
}

/// The changes from one status to the next, one line for each step and for the flow.
pub(super) fn changes(before: &JobFlow, after: &JobFlow) -> Vec<String> {
    let (before, after) = (FlowView::new(before), FlowView::new(after));
    let mut lines = Vec::new();
    for step in 0..after.dag.len() {
        let tell = |view: &FlowView<'_>| (view.phase(step), view.note(step));
        let (phase, note) = tell(&after);
        // Waiting for others is no news.
        let quiet = phase == StepPhase::Pending
            && before.phase(step) == phase
            && (note.is_empty() || note.starts_with("after "));
        if tell(&before) != (phase, note.clone()) && !quiet {
            let took = after.took(step, Timestamp::UNIX_EPOCH).filter(|_| phase.is_final());
            let took = took.map(|took| format!(" after {}", span(took))).unwrap_or_default();
            let note = if note.is_empty() { note } else { format!("  {note}") };
            lines.push(format!("{}  {}{took}{note}", after.dag.name(step), phase.as_str()));
        }
    }
    let tell = |view: &FlowView<'_>| {
        let message = view.flow.status.as_ref().and_then(|status| status.message.as_deref()).map(clean);
        (view.flow_phase(), message)
    };
    let (phase, message) = tell(&after);
    if tell(&before).0 != phase
        && let Some(phase) = phase
    {
        let message = message.filter(|said| !said.is_empty()).map(|said| format!("  {said}"));
        lines.push(format!("{}  {}{}", after.name(), phase.as_str(), message.unwrap_or_default()));
    }
    lines
}

#[cfg(test)]
mod tests;
