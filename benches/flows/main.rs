//! Measures flows on a real control plane with a simulated node, next to the same Jobs without flows.
//! `hack/bench-flows` starts the cluster and runs this; the figures are kept in `docs/benchmarks.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot go on says where, and prints what it found"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

mod program;
mod runs;
mod shape;

use program::{Figures, Program};
use shape::Shape;

/// Measures flows, next to the same Jobs without flows.
#[derive(Debug, Parser)]
struct Args {
    /// Times that each shape is run, flows and Jobs by turns; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Divide the number of flows by this, for a look
    #[arg(long, default_value_t = 1)]
    small: usize,
    /// The shapes: 200 flows of one step (single), 20 chains of 20 steps (chain), 5 flows of 1 + 48 + 1 steps (fan-out);
    /// 2,000 flows of one step (many), once; 1,000 chains of 20 (load), once and without Jobs beside them
    #[arg(long, value_delimiter = ',', default_value = "single,chain,fan-out", value_parser = Shape::find)]
    shapes: Vec<Shape>,
    /// The transitions that become Events: none, important or all
    #[arg(long, default_value = "important")]
    events: String,
    /// Passed by cargo; without it (as a test) nothing is run
    #[arg(long)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        return;
    }
    let kubeconfig = PathBuf::from(std::env::var_os("KUBECONFIG").expect("KUBECONFIG: run hack/bench-flows"));
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&args, kubeconfig));
}

/// The measurements of one shape.
struct Row {
    shape: Shape,
    flows: Duration,
    jobs: Option<Duration>,
    figures: Figures,
    steps: usize,
}

async fn run(args: &Args, kubeconfig: PathBuf) {
    let client = kube::Client::try_default().await.unwrap();
    let program = Program::start(kubeconfig, &args.events).await;
    let mut rows = Vec::new();
    for shape in &args.shapes {
        let row = measure(&client, &program, shape.smaller(args.small), args.rounds).await;
        rows.push((row, program.peak_mib()));
    }
    println!(
        "| flows | flows, s | bare Jobs, s | ratio | writes a step | CPU ms a step | dispatch p50, ms | p99, ms | peak RSS until then, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (row, peak) in &rows {
        println!("{} {peak:.1} |", line(row));
    }
    println!("load average at the end: {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
}

async fn measure(client: &kube::Client, program: &Program, shape: Shape, rounds: usize) -> Row {
    let rounds = if shape.once { 1 } else { rounds };
    let (mut flows, mut jobs, mut figures) = (Vec::new(), Vec::new(), Figures::default());
    for round in 0..rounds {
        let namespace = format!("{}-{round}", shape.name);
        runs::namespace(client, &namespace).await;
        let before = program.figures();
        let took = runs::flows(client, &namespace, &shape).await;
        program.idle().await;
        figures.add(&program.figures().since(&before));
        flows.push(took);
        runs::clear(client, &namespace).await;
        if shape.beside {
            jobs.push(runs::bare(client, &namespace, &shape).await);
            runs::clear(client, &namespace).await;
        }
        eprintln!("{namespace}: flows {took:.2?}, Jobs {:.2?}", jobs.last());
    }
    let steps = shape.flows * shape.steps().len() * rounds;
    Row { jobs: shape.beside.then(|| median(jobs)), flows: median(flows), shape, figures, steps }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn line(row: &Row) -> String {
    let steps = row.steps as f64;
    let jobs = row.jobs.map_or_else(String::new, |jobs| format!("{:.2}", jobs.as_secs_f64()));
    let ratio = row
        .jobs
        .map_or_else(String::new, |jobs| format!("{:.2}", row.flows.as_secs_f64() / jobs.as_secs_f64()));
    let figures = &row.figures;
    let writes = figures.writes.values().sum::<usize>() as f64 / steps;
    let each: Vec<String> =
        figures.writes.iter().map(|(what, count)| format!("{what} {:.2}", *count as f64 / steps)).collect();
    let at = |share| figures.dispatch(share).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
    format!(
        "| {} | {:.2} | {jobs} | {ratio} | {writes:.2} ({}) | {:.2} | {} | {} |",
        row.shape.title(),
        row.flows.as_secs_f64(),
        each.join(", "),
        figures.cpu_ms / steps,
        at(0.5),
        at(0.99),
    )
}
