//! What one window saw: latencies of the answered calls, and every other call by the name of its failure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::failure::Failure;

/// Longest time that is told apart, an hour in nanoseconds; a longer one is recorded as this.
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// A call that went out this long after it was due counts as late.
pub const LATE_NS: u64 = 1_000_000;

/// One answer in this many is kept; prime, so that it does not follow a cycle of the requests.
pub const KEEP_EVERY: u64 = 101;

/// Times in nanoseconds, to three significant digits, and the longest exactly.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: Histogram<u64>,
    longest: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, HIGHEST_NS, 3).expect("the bounds are in order");
        Self { histogram, longest: 0 }
    }
}

impl Distribution {
    /// Counts one time.
    pub fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds.max(1));
        self.longest = self.longest.max(nanoseconds);
    }

    /// Adds those of another one.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.longest = self.longest.max(other.longest);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The longest; none without any.
    #[must_use]
    pub fn longest(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.longest)
    }

    /// The time that all but one call in `one_in` did not exceed; none when there are fewer calls, since it would be
    /// the longest under another name.
    #[must_use]
    pub fn exceeded_by_one_in(&self, one_in: u32) -> Option<u64> {
        let quantile = 1.0 - 1.0 / f64::from(one_in);
        (self.count() >= u64::from(one_in)).then(|| self.histogram.value_at_quantile(quantile).min(self.longest))
    }

    /// The histogram in `HdrHistogram`'s compressed V2 form, as base64.
    ///
    /// # Panics
    /// Never: memory takes whatever is written to it.
    #[must_use]
    pub fn encoded(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.histogram, &mut bytes).expect("memory takes all bytes");
        STANDARD.encode(bytes)
    }
}

/// Calls of one window.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Of the answered calls, from the moment they were sent, or due in an open loop.
    pub latency: Distribution,
    /// From due to sent, in an open loop.
    pub lag: Distribution,
    /// Calls that were sent, or due and not sent.
    pub sent: u64,
    /// Calls that went out more than [`LATE_NS`] after they were due.
    pub late: u64,
    /// How many failed and what the first of them was told, by name.
    pub failures: BTreeMap<&'static str, (u64, String)>,
    /// Bytes of all right answers.
    pub answer_bytes: u64,
    /// Some requests with their answers.
    pub kept: Vec<(usize, Bytes)>,
    /// When the last right answer came.
    pub last: u64,
}

impl Tally {
    /// Counts a right answer.
    pub fn answered(&mut self, since: u64, now: u64, request: usize, answer: &Bytes, keep: usize) {
        if self.latency.count().is_multiple_of(KEEP_EVERY) && self.kept.len() < keep {
            self.kept.push((request, answer.clone()));
        }
        self.latency.record(now.saturating_sub(since));
        self.answer_bytes += answer.len() as u64;
        self.last = self.last.max(now);
    }

    /// Counts so many calls that failed alike.
    pub fn failed(&mut self, count: u64, failure: Failure) {
        self.failures.entry(failure.name).or_insert((0, failure.told)).0 += count;
    }

    /// Counts how late a call went out.
    pub fn lagged(&mut self, nanoseconds: u64) {
        self.lag.record(nanoseconds);
        self.late += u64::from(nanoseconds > LATE_NS);
    }

    /// Adds what another thread saw.
    pub fn add(&mut self, other: Self) {
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
        self.sent += other.sent;
        self.late += other.late;
        self.answer_bytes += other.answer_bytes;
        self.last = self.last.max(other.last);
        self.kept.extend(other.kept);
        for (name, (count, told)) in other.failures {
            self.failures.entry(name).or_insert((0, told)).0 += count;
        }
    }

    /// Calls that failed.
    #[must_use]
    pub fn failure_count(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;

    use super::{Distribution, Tally};
    use crate::failure::Failure;

    #[test]
    fn percentiles_are_within_three_digits_and_stated_where_enough_calls_stand_behind_them() {
        let mut seen = Distribution::default();
        (1..100).for_each(|step| seen.record(step * 1_000_000));
        assert_eq!((seen.exceeded_by_one_in(100), seen.longest()), (None, Some(99_000_000)));
        seen.record(7_654_321_987);
        let near = |told: Option<u64>, wanted: u64| told.unwrap().abs_diff(wanted) * 1000 <= wanted;
        assert!(near(seen.exceeded_by_one_in(2), 50_000_000), "{:?}", seen.exceeded_by_one_in(2));
        assert!(near(seen.exceeded_by_one_in(100), 99_000_000));
        assert_eq!(seen.exceeded_by_one_in(1000), None);
        assert_eq!(seen.longest(), Some(7_654_321_987));
        assert_eq!(Distribution::default().longest(), None);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted_at_them() {
        let mut seen = Distribution::default();
        seen.record(0);
        seen.record(u64::MAX);
        assert_eq!((seen.count(), seen.exceeded_by_one_in(2)), (2, Some(1)));
    }

    #[test]
    fn a_histogram_comes_back_from_its_encoded_form() {
        let mut seen = Distribution::default();
        for value in [1, 999, 123_456, 45_000_000_000] {
            seen.record(value);
        }
        let bytes = STANDARD.decode(seen.encoded()).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(read, seen.histogram);
    }

    #[test]
    fn threads_add_up() {
        let mut one = Tally { sent: 3, ..Tally::default() };
        one.answered(5, 1005, 0, &Bytes::from_static(b"ab"), 1);
        one.answered(5, 2005, 1, &Bytes::from_static(b"abc"), 1);
        one.failed(1, Failure::new("INTERNAL", "first"));
        let mut other = Tally { sent: 1, ..Tally::default() };
        other.failed(2, Failure::new("INTERNAL", "second"));
        other.lagged(999_999);
        other.lagged(1_000_001);
        one.add(other);
        assert_eq!((one.sent, one.latency.count(), one.answer_bytes, one.last), (4, 2, 5, 2005));
        assert_eq!((one.late, one.lag.count(), one.failure_count()), (1, 2, 3));
        assert_eq!(one.failures["INTERNAL"], (3, "first".to_owned()));
        assert_eq!(one.kept, [(0, Bytes::from_static(b"ab"))]);
    }
}
