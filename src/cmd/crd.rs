//! `headworks crd`: the `CustomResourceDefinition`.

use std::io::Write;

use headworks::flows::api::crd;

use super::exit_status::ExitStatus;

/// Arguments of `crd`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  headworks crd | kubectl apply -f -")]
pub(crate) struct Args {
    /// The output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Output {
    #[default]
    Yaml,
    Json,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let crd = crd::crd();
    match args.output {
        Output::Yaml => {
            let text = serde_saphyr::to_string(&crd)?;
            writeln!(out, "# Printed by `headworks crd`; do not edit.\n{}", text.trim_end())?;
        }
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&crd)?)?,
    }
    Ok(ExitStatus::Sound)
}
