//! What a run has to tell: JSON for programs, a few lines for people.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::clock::{microseconds, seconds};
use crate::machine::machine;
use crate::run::Measured;
use crate::tally::Distribution;

/// Percentiles by name, with the one call in so many that exceeds them.
const PERCENTILES: [(&str, u32); 4] = [("p50", 2), ("p90", 10), ("p99", 100), ("p99.9", 1000)];

/// Everything as one object; times in the unit that their name ends with.
#[must_use]
pub fn as_json(measured: &Measured, settings: &Value) -> Value {
    let tally = &measured.tally;
    let answered = tally.latency.count();
    let failures = tally.failures.iter();
    json!({
        "generator": {"name": "jobcast-load", "version": env!("CARGO_PKG_VERSION")},
        "settings": settings,
        "machine": machine(),
        "sent": tally.sent,
        "answered": answered,
        "failed": tally.failure_count(),
        "errors": failures.clone().map(|(name, (count, _))| ((*name).to_owned(), json!(count))).collect::<Map<_, _>>(),
        "first_errors": failures.map(|(name, (_, told))| ((*name).to_owned(), json!(told))).collect::<Map<_, _>>(),
        "seconds": elapsed_s(measured),
        "calls_per_s": rate(measured),
        "answer_bytes": tally.answer_bytes.checked_div(answered).unwrap_or(0),
        "latency": distribution(&tally.latency),
        "lag": distribution(&tally.lag),
        "late": tally.late,
        "begin_ns": measured.begin,
        "end_ns": measured.end,
        "cpu_s": seconds(measured.cpu),
    })
}

/// A summary of a few lines.
#[must_use]
pub fn as_text(measured: &Measured) -> String {
    let tally = &measured.tally;
    let answered = tally.latency.count();
    let mut lines = format!("{answered} of {} answered, {:.0}/s\n", tally.sent, rate(measured));
    let told = |name: &str, time: Option<u64>| time.map(|found| format!("{name} {:.1} us", microseconds(found)));
    let percentiles =
        PERCENTILES.iter().filter_map(|(name, one_in)| told(name, tally.latency.exceeded_by_one_in(*one_in)));
    let times: Vec<String> = percentiles.chain(told("max", tally.latency.longest())).collect();
    if !times.is_empty() {
        let _ = writeln!(lines, "{}", times.join(", "));
    }
    for (name, (count, told)) in &tally.failures {
        let _ = writeln!(lines, "failed: {name} {count} times, the first: {told}");
    }
    lines
}

/// From the begin to the last right answer, or to the end where there was none.
fn elapsed_s(measured: &Measured) -> f64 {
    let last = if measured.tally.last > 0 { measured.tally.last } else { measured.end };
    seconds(last.saturating_sub(measured.begin))
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^53 calls")]
fn rate(measured: &Measured) -> f64 {
    measured.tally.latency.count() as f64 / elapsed_s(measured).max(1e-9)
}

fn distribution(times: &Distribution) -> Value {
    let us = |time: Option<u64>| json!(time.map(microseconds));
    let mut told: Map<String, Value> = PERCENTILES
        .iter()
        .map(|(name, one_in)| (format!("{name}_us"), us(times.exceeded_by_one_in(*one_in))))
        .collect();
    told.insert("max_us".to_owned(), us(times.longest()));
    told.insert("histogram_ns".to_owned(), json!(times.encoded()));
    Value::Object(told)
}
