//! The webhook as an API server meets it: a flow of 20 KiB next to a handler that does nothing, in one server.
//! `hack/bench-webhook` gives client and server a core each and runs this; the figures are kept in
//! `docs/benchmarks.md`.

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
use headworks_testkit::Report;

mod drive;
mod review;
mod server;
mod siege;

use drive::Driver;

/// The program's own allocator: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a review's time on its way through sockets, TLS and HTTP.
#[derive(Debug, Parser)]
struct Args {
    /// Seconds of each run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Times that each run is made, a flow and nothing by turns; medians count
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The core of the server
    #[arg(long, default_value = "0")]
    server_core: String,
    /// The release binary, for its memory
    #[arg(long)]
    program: Option<PathBuf>,
    /// Be the server; told by the benchmark itself
    #[arg(long)]
    serve: bool,
    /// Passed by cargo; without it (as a test) nothing is run
    #[arg(long)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if args.serve {
        return server::main();
    }
    if !args.bench {
        return;
    }
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&args));
}

async fn run(args: &Args) {
    let lasting = Duration::from_secs(args.seconds);
    let server = server::Child::start(&args.server_core, &[]);
    let driver = Driver::new(&server);
    let idle = server.rss();
    eprintln!("warming up");
    for keep_alive in [true, false] {
        driver.load("/noop", keep_alive, 500.0, Duration::from_secs(3)).await;
        driver.load(drive::FLOW, keep_alive, 500.0, Duration::from_secs(3)).await;
    }

    println!(
        "| calls | p50: flow, nothing, ms | ratio (<= 1.25) | p99: flow, nothing, ms | ratio (<= 1.3) | failed |"
    );
    println!("|---|---|---|---|---|---|");
    for (keep_alive, connection) in [(true, "kept alive"), (false, "a new connection each")] {
        for rate in [500.0, 1000.0] {
            let mut pairs = Vec::new();
            for _ in 0..args.rounds {
                let nothing = driver.load("/noop", keep_alive, rate, lasting).await;
                let flow = driver.load(drive::FLOW, keep_alive, rate, lasting).await;
                pairs.push((flow, nothing));
            }
            println!("{}", line(&format!("{rate}/s, {connection}"), &pairs));
        }
    }
    let (within, p99) = driver.handling();
    println!("\nhandling time by the server's own histogram: p99 {p99:.2} ms; {within:.2} % within 0.5 ms");

    let mut rates = Vec::new();
    for _ in 0..args.rounds {
        let nothing = driver.saturate("/noop", lasting).await;
        rates.push((driver.saturate(drive::FLOW, lasting).await, nothing));
    }
    let (flow, nothing) = (median(rates.iter().map(|pair| pair.0)), median(rates.iter().map(|pair| pair.1)));
    let share = median(rates.iter().map(|pair| pair.0 / pair.1));
    println!(
        "throughput at saturation: {flow:.0}/s of a flow, {nothing:.0}/s of nothing: {:.0} % (>= 80 %)",
        share * 100.0
    );

    reloads(&driver, args.rounds, lasting).await;
    siege::run(&driver, &server, &args.server_core, lasting).await;
    println!("RSS of this server: {idle} MiB at its start, {} MiB at its end", server.rss());
    if let Some(program) = &args.program {
        let (before, after) = server::of_program(program).await;
        println!(
            "RSS of `headworks run`, mounted mode, admission alone: {before} MiB idle, {after} MiB after 1,000 flows (<= 24)"
        );
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("load average at the end: {}; {} rounds of {} s", load.trim(), args.rounds, args.seconds);
}

/// With four new certificates a second and without, by turns.
async fn reloads(driver: &Driver<'_>, rounds: usize, lasting: Duration) {
    for (keep_alive, connection) in [(true, "kept alive"), (false, "a new connection each")] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            without.push(driver.load(drive::FLOW, keep_alive, 500.0, lasting).await);
            with.push(driver.load_with_reloads(drive::FLOW, keep_alive, 500.0, lasting).await);
        }
        let p99 = |reports: &[Report]| median(reports.iter().map(|report| ms(report.percentile(0.99))));
        let failed: usize = with.iter().map(|report| report.failures.len()).sum();
        println!(
            "reloads, 4 a second, 500/s, {connection}: p99 {:.2} ms, without {:.2} ms; {failed} failed",
            p99(&with),
            p99(&without)
        );
    }
}

fn line(name: &str, pairs: &[(Report, Report)]) -> String {
    let at = |part: f64| {
        let of = |report: &Report| ms(report.percentile(part));
        let ratio = median(pairs.iter().map(|(flow, nothing)| of(flow) / of(nothing)));
        let (flow, nothing) = (
            median(pairs.iter().map(|(flow, _)| of(flow))),
            median(pairs.iter().map(|(_, nothing)| of(nothing))),
        );
        format!("{flow:.2}, {nothing:.2} | {ratio:.2}")
    };
    let failed: usize =
        pairs.iter().map(|(flow, nothing)| flow.failures.len() + flow.denied + nothing.failures.len()).sum();
    format!("| {name} | {} | {} | {failed} |", at(0.5), at(0.99))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
