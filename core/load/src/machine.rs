//! Where a figure was measured: without its machine it is not a figure.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::thread;

use serde_json::{Value, json};

/// Processor, cores that this process may use, system.
#[must_use]
pub fn machine() -> Value {
    json!({
        "cpu": cpu_model(),
        "cores": thread::available_parallelism().map_or(1, usize::from),
        "system": format!("{OS} {ARCH}"),
    })
}

fn cpu_model() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    model.map_or(ARCH, |(_, name)| name.trim()).to_owned()
}
