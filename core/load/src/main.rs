//! The command `jobcast-load`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{fs, path};

use clap::Parser;
use jobcast_load::frame::framed;
use jobcast_load::options::Options;
use jobcast_load::plan::Plan;
use jobcast_load::report::{as_json, as_text};
use jobcast_load::run::{Measured, run};

const NOT_MEASURED: u8 = 1;
const WRONG_OPTION: u8 = 2;
const FAILED: u8 = 4;

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(told) => return end(WRONG_OPTION, &told),
    };
    let threads = usize::try_from(options.threads).unwrap_or(1);
    let measured = match run(&plan, threads) {
        Ok(measured) => measured,
        Err(error) => return end(NOT_MEASURED, &error.to_string()),
    };
    if let Some(file) = &options.keep
        && let Err(error) = keep(file, &plan, &measured)
    {
        return end(NOT_MEASURED, &format!("--keep {}: {error}", file.display()));
    }
    eprint!("{}", as_text(&measured));
    if let Err(error) = writeln!(io::stdout(), "{}", as_json(&measured, &options.settings())) {
        return end(NOT_MEASURED, &format!("standard output: {error}"));
    }
    let right = measured.tally.failure_count() == 0 && measured.tally.latency.count() > 0;
    if right { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn end(code: u8, told: &str) -> ExitCode {
    eprintln!("jobcast-load: {told}");
    ExitCode::from(code)
}

fn keep(file: &path::Path, plan: &Plan, measured: &Measured) -> io::Result<()> {
    let mut out = io::BufWriter::new(fs::File::create(file)?);
    for (request, answer) in &measured.tally.kept {
        out.write_all(&plan.messages[*request])?;
        out.write_all(&framed(answer))?;
    }
    out.flush()
}
