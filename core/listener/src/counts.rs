//! What is counted, by this side and by the other one alike: without locks, so that nobody waits for a reader.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `times`.
    pub fn add(&self, times: u64) {
        self.0.fetch_add(times, Relaxed);
    }

    /// How often something was counted.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A sum of floats.
#[derive(Debug, Default)]
struct Sum(AtomicU64);

impl Sum {
    fn add(&self, value: f64) {
        let grown = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // The update is tried until it succeeds, which it does unless another thread adds just then.
        let _ = self.0.fetch_update(Relaxed, Relaxed, grown);
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// Values by the first bound that they do not exceed, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: Box<[f64]>,
    counts: Box<[AtomicU64]>,
    sum: Sum,
}

impl Histogram {
    /// An empty one over ascending bounds, with one more place for what exceeds them all.
    #[must_use]
    pub fn new(bounds: Vec<f64>) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds: bounds.into(), counts, sum: Sum::default() }
    }

    /// Counts one value, `times` times.
    #[allow(clippy::cast_precision_loss, reason = "nobody counts one value 2^53 times at once")]
    pub fn observe(&self, value: f64, times: u64) {
        let place = self.bounds.partition_point(|&bound| bound < value);
        self.counts[place].fetch_add(times, Relaxed);
        self.sum.add(value * times as f64);
    }

    /// Upper bounds.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Counts by bound, each of its own, and the sum.
    #[must_use]
    pub fn read(&self) -> (Vec<u64>, f64) {
        (self.counts.iter().map(|count| count.load(Relaxed)).collect(), self.sum.value())
    }
}

/// Passes of one number of rows: how many, and seconds of decode, compute and encode.
#[derive(Debug, Default)]
struct Size {
    count: AtomicU64,
    seconds: [Sum; 3],
}

/// Rows of a pass that have a place of their own; larger passes are few and share a lock.
const SMALL: usize = 257;

/// A line of `Passes`: rows, passes, and seconds of decode, compute and encode.
pub type Line = (usize, u64, [f64; 3]);

/// Passes by their rows.
#[derive(Debug)]
pub struct Passes {
    small: Box<[Size]>,
    large: Mutex<Vec<Line>>,
    rows: AtomicU64,
    last: AtomicI64,
}

impl Default for Passes {
    fn default() -> Self {
        let small = std::iter::repeat_with(Size::default).take(SMALL).collect();
        Self { small, large: Mutex::default(), rows: AtomicU64::new(0), last: AtomicI64::new(0) }
    }
}

impl Passes {
    /// Counts a pass of `rows` rows with its three times in seconds.
    ///
    /// # Panics
    /// Never: nothing that holds the lock can fail.
    pub fn add(&self, rows: usize, seconds: [f64; 3]) {
        if let Some(size) = self.small.get(rows) {
            size.count.fetch_add(1, Relaxed);
            for (sum, value) in size.seconds.iter().zip(seconds) {
                sum.add(value);
            }
        } else {
            let mut large = self.large.lock().expect("nothing panics with the lock");
            let at = large.binary_search_by_key(&rows, |&(rows, ..)| rows).unwrap_or_else(|at| {
                large.insert(at, (rows, 0, [0.0; 3]));
                at
            });
            large[at].1 += 1;
            for (sum, value) in large[at].2.iter_mut().zip(seconds) {
                *sum += value;
            }
        }
        self.rows.fetch_add(rows as u64, Relaxed);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(i64::try_from(since.as_millis()).unwrap_or(i64::MAX), Relaxed);
    }

    /// Every number of rows that was seen, ascending.
    ///
    /// # Panics
    /// Never: nothing that holds the lock can fail.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let small = self.small.iter().enumerate().filter_map(|(rows, size)| {
            let count = size.count.load(Relaxed);
            (count > 0).then(|| (rows, count, size.seconds.each_ref().map(Sum::value)))
        });
        small.chain(self.large.lock().expect("nothing panics with the lock").iter().copied()).collect()
    }

    /// Rows of all passes.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Time of the latest pass in ms since 1970; 0 = never.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.last.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_value_is_counted_at_the_first_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(vec![1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 2.5] {
            histogram.observe(value, 1);
        }
        histogram.observe(2.5, 3);
        assert_eq!(histogram.read(), (vec![2, 2, 4], 15.0));
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let (histogram, passes, counter) = (Histogram::new(vec![1.0]), Passes::default(), Counter::default());
        thread::scope(|scope| {
            for rows in [1, 300, 1, 300] {
                let (histogram, passes, counter) = (&histogram, &passes, &counter);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        histogram.observe(0.5, 2);
                        passes.add(rows, [1.0, 2.0, 3.0]);
                        counter.add(1);
                    }
                });
            }
        });
        assert_eq!(histogram.read(), (vec![8000, 0], 4000.0));
        assert_eq!(passes.lines(), vec![(1, 2000, [2000.0, 4000.0, 6000.0]), (300, 2000, [2000.0, 4000.0, 6000.0])]);
        assert_eq!((passes.rows(), counter.value()), (602_000, 4000));
        assert!(passes.last() > 1_600_000_000_000);
    }
}
