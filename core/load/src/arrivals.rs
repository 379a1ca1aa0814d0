//! When an open loop is due to send: fixed before the first call, so that no answer can hold back a later one.

use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;

use crate::clock::nanoseconds;

/// How the gaps between two calls come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// Equal gaps.
    Constant,
    /// Independent exponential gaps, as many independent callers make.
    Poisson,
}

impl Arrivals {
    /// The name on the command line and in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// Endless due times in nanoseconds after the begin, ascending.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    gap_s: f64,
    passed: f64,
    random: Rng,
}

impl Schedule {
    /// `rate` calls a second on average; the same seed gives the same times.
    #[must_use]
    pub fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        Self { arrivals, gap_s: 1.0 / rate, passed: 0.0, random: Rng::with_seed(seed) }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let due = match self.arrivals {
            // A product each time: the sum of the gaps would drift by its roundings.
            Arrivals::Constant => {
                let due = self.passed * self.gap_s;
                self.passed += 1.0;
                due
            }
            Arrivals::Poisson => {
                self.passed -= (1.0 - self.random.f64()).ln() * self.gap_s;
                self.passed
            }
        };
        Duration::try_from_secs_f64(due).ok().map(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Schedule};

    #[test]
    fn equal_gaps_do_not_drift() {
        let due: Vec<u64> = Schedule::new(Arrivals::Constant, 3000.0, 0).take(3_000_001).collect();
        assert_eq!((due[0], due[3], due[3_000_000]), (0, 1_000_000, 1_000_000_000_000));
        assert!(due.windows(2).all(|pair| (333_332..=333_335).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn poisson_gaps_are_exponential_and_those_of_their_seed() {
        let drawn = |seed| Schedule::new(Arrivals::Poisson, 1000.0, seed).take(100_000).collect::<Vec<u64>>();
        let due = drawn(7);
        assert_eq!(due, drawn(7));
        assert_ne!(due, drawn(8));
        assert!(due.is_sorted());
        let mean = due[99_999] / 100_000;
        assert!((980_000..1_020_000).contains(&mean), "{mean}");
        // Of exponential gaps a share of 1 - 1/e = 63.2 % is shorter than their mean.
        let short = due.windows(2).filter(|pair| pair[1] - pair[0] < 1_000_000).count();
        assert!((62_500..64_000).contains(&short), "{short}");
    }
}
