//! `headworks explain`: the page behind a code.

use std::io::Write;

use headworks::problem::code;
use headworks::problem::code::{CODES, Code, FAMILIES};

use super::exit_status::ExitStatus;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  headworks explain HW201\n  headworks explain 201 203\n  headworks explain"
)]
pub(crate) struct Args {
    /// Codes such as HW201, hw201 or 201; without any, all codes are listed
    #[arg(value_name = "CODE")]
    codes: Vec<String>,
    /// Print every page
    #[arg(long, conflicts_with = "codes")]
    all: bool,
    /// The format of pages
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a terminal
    #[default]
    Text,
    /// For a document
    Markdown,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { codes, all, format } = args;
    if *all && *format == Format::Markdown {
        write!(out, "{}", code::catalogue())?;
        return Ok(ExitStatus::Sound);
    }
    let mut pages = Vec::new();
    for text in codes {
        let Some(entry) = Code::parse(text).and_then(Code::entry) else {
            anyhow::bail!("there is no code {text:?}; `headworks explain` lists all codes");
        };
        pages.push(entry);
    }
    if *all {
        pages.extend(CODES);
    }
    if pages.is_empty() {
        return list(out);
    }
    for (i, entry) in pages.iter().enumerate() {
        let gap = if i > 0 { "\n" } else { "" };
        let mark = if *format == Format::Markdown { "# " } else { "" };
        writeln!(out, "{gap}{mark}{}: {}\n\n{}", entry.code, entry.title, entry.page.trim())?;
    }
    Ok(ExitStatus::Sound)
}

fn list(out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    for (i, (hundred, words)) in FAMILIES.iter().enumerate() {
        writeln!(out, "{}HW{hundred}xx {words}", if i > 0 { "\n" } else { "" })?;
        for entry in CODES.iter().filter(|entry| entry.family() == *words) {
            writeln!(out, "  {}  {}", entry.code, entry.title)?;
        }
    }
    Ok(ExitStatus::Sound)
}
