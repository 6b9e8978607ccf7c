//! `headworks graph`: a drawing of a flow.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use headworks::flows::api::{JobFlow, Step};
use headworks::flows::dag::Dag;

use super::exit_status::ExitStatus;
use super::flow_file::each_flow;
use super::style::Style;
use super::tree::{Branch, tree};

/// Arguments of `graph`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  headworks graph nightly.yaml\n  headworks graph nightly.yaml --format dot | dot -Tsvg > nightly.svg"
)]
pub(crate) struct Args {
    /// The file, or - for standard input
    file: PathBuf,
    /// The program that renders the drawing
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// A terminal: every step below its last dependency
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, as GitHub renders it in Markdown
    Mermaid,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { file, format } = args;
    each_flow(file, style, out, &mut |flow, name, out| {
        let drawing = match format {
            Format::Text => text(flow, name),
            Format::Dot => dot(flow, name),
            Format::Mermaid => mermaid(flow),
        };
        Ok(out.write_all(drawing.as_bytes())?)
    })
}

/// Every step once, below the dependency that lets it start last; the others are named beside it.
fn text(flow: &JobFlow, name: &str) -> String {
    let steps = &flow.spec.steps;
    let dag = Dag::new(steps);
    let mut text = format!("{name}\n");
    for Branch { step, head, others } in tree(&dag) {
        let others: Vec<&str> = others.into_iter().map(|dependency| dag.name(dependency)).collect();
        let also =
            if others.is_empty() { String::new() } else { format!(" (also after {})", others.join(", ")) };
        let kind = if steps[step].is_manual() { " [manual]" } else { "" };
        let _ = writeln!(text, "{head}{}{kind}{also}", dag.name(step));
    }
    text
}

fn dot(flow: &JobFlow, name: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text =
        format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded];\n", quoted(name));
    for step in &flow.spec.steps {
        let mut marks = Vec::new();
        if step.is_manual() {
            marks.push("shape=octagon".to_owned());
        }
        if let Some(when) = condition(step) {
            marks.push(format!("style=\"rounded,dashed\", tooltip={}", quoted(&format!("when {when}"))));
        }
        let marks = if marks.is_empty() { String::new() } else { format!(" [{}]", marks.join(", ")) };
        let _ = writeln!(text, "  {}{marks};", quoted(&step.name));
    }
    for step in &flow.spec.steps {
        for dependency in &step.dependencies {
            let _ = writeln!(text, "  {} -> {};", quoted(dependency), quoted(&step.name));
        }
    }
    text + "}\n"
}

fn mermaid(flow: &JobFlow) -> String {
    let dag = Dag::new(&flow.spec.steps);
    let mut text = String::from("flowchart LR\n");
    for (i, step) in flow.spec.steps.iter().enumerate() {
        let when = condition(step).map(|when| format!("<br/>when {}", entities(&when))).unwrap_or_default();
        let (open, close) = if step.is_manual() { ("{{\"", "\"}}") } else { ("[\"", "\"]") };
        let _ = writeln!(text, "  s{i}{open}{}{when}{close}", entities(&step.name));
    }
    for step in 0..dag.len() {
        for dependency in dag.dependencies(step) {
            let _ = writeln!(text, "  s{dependency} --> s{step}");
        }
    }
    text
}

fn condition(step: &Step) -> Option<String> {
    let when = step.when.as_deref().map(|when| when.split_whitespace().collect::<Vec<_>>().join(" "));
    when.filter(|when| !when.is_empty())
}

/// Whatever mermaid could read as its own syntax, as numeric entities.
fn entities(text: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '=' | '!' | '(' | ')' | '\'');
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) }).collect()
}

#[cfg(test)]
mod tests {
    use headworks::manifest;
    use serde::Deserialize;

    use super::*;

    fn flow() -> JobFlow {
        let text = "
            apiVersion: workflow.kube-zen.io/v1alpha1
            kind: JobFlow
            metadata: {name: etl}
            spec:
              steps:
                - {name: report, dependencies: [load, check]}
                - {name: extract}
                - {name: check, type: Manual, dependencies: [extract]}
                - {name: load, dependencies: [extract], when: 'parameters.x == \"a\"'}
        ";
        JobFlow::deserialize(manifest::read(text).remove(0).unwrap().value).unwrap()
    }

    #[test]
    fn a_tree_holds_every_step_once() {
        let tree = "etl\n`- extract\n   |- check [manual]\n   `- load\n      `- report (also after check)\n";
        assert_eq!(text(&flow(), "etl"), tree);
    }

    #[test]
    fn drawings_for_programs_are_escaped() {
        let dot = dot(&flow(), "a\"b");
        assert!(dot.starts_with("digraph \"a\\\"b\" {\n"), "{dot}");
        assert!(dot.contains("tooltip=\"when parameters.x == \\\"a\\\"\"];"), "{dot}");
        let mermaid = mermaid(&flow());
        assert!(mermaid.contains("s3[\"load<br/>when parameters.x == #34;a#34;\"]\n"), "{mermaid}");
        assert!(mermaid.ends_with("  s1 --> s3\n"), "{mermaid}");
    }
}
