//! One `JobFeatures`, read straight into the columns of the graph. The columns' order is that of the contract's bundle:
//! five numbers, the time of submission, five texts, the latest run times.

use crate::column::Column;
use crate::fault::provoked;
use crate::wire::{BYTES, FIXED64, Reader, VARINT, tag};

/// Latest run times that the graph takes; older ones are left out.
const RECENT: usize = 10;
/// Columns that a job fills; those behind them are not known.
pub(crate) const FILLED: usize = 12;

const NUMBERS: usize = 5;
const TEXTS: usize = 5;
const PARTITION: usize = 0;
const QOS: usize = 1;

/// The rules of a job.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Lowest and highest value of processors, nodes, memory, wall clock and GPUs.
    pub numbers: [(f64, f64); NUMBERS],
    /// Longest partition, quality of service, user, account and job name, in bytes.
    pub lengths: [usize; TEXTS],
    /// Earliest and latest time of submission; 0 stands for now and is always allowed.
    pub times: (i64, i64),
}

/// What a message says of a job.
#[derive(Default)]
pub(crate) struct Job<'a> {
    numbers: [f64; NUMBERS],
    gpus_known: bool,
    time: i64,
    texts: [&'a [u8]; TEXTS],
    recent: [f64; RECENT],
    count: usize,
}

impl<'a> Job<'a> {
    /// Reads a job that keeps every rule.
    #[inline]
    pub(crate) fn read(message: &'a [u8], bounds: &Bounds) -> Option<Self> {
        const PROCESSORS: u8 = tag(1, VARINT);
        const NODES: u8 = tag(2, VARINT);
        const GPUS: u8 = tag(11, VARINT);
        const MEMORY: u8 = tag(3, FIXED64);
        const WALLCLOCK: u8 = tag(4, FIXED64);
        const TIME: u8 = tag(7, VARINT);
        const RUNTIME: u8 = tag(12, FIXED64);
        const RUNTIMES: u8 = tag(12, BYTES);

        let mut job = Self::default();
        let mut reader = Reader::new(message);
        while let Some(found) = reader.tag() {
            match found {
                PROCESSORS => job.numbers[0] = whole(reader.varint()?)?,
                NODES => job.numbers[1] = whole(reader.varint()?)?,
                GPUS => {
                    job.numbers[4] = whole(reader.varint()?)?;
                    job.gpus_known = true;
                }
                MEMORY => job.numbers[2] = reader.double()?,
                WALLCLOCK => job.numbers[3] = reader.double()?,
                TIME => job.time = i64::try_from(reader.varint()?).ok()?,
                RUNTIME => job.add_runtime(reader.double()?)?,
                RUNTIMES => {
                    let mut packed = Reader::new(reader.bytes()?);
                    while !packed.is_empty() {
                        job.add_runtime(packed.double()?)?;
                    }
                }
                found => job.texts[text_place(found)?] = reader.text()?,
            }
        }
        job.keeps(bounds).then_some(job)
    }

    #[inline]
    fn add_runtime(&mut self, seconds: f64) -> Option<()> {
        if !(0.0..=f64::MAX).contains(&seconds) {
            return None;
        }
        if let Some(place) = self.recent.get_mut(self.count) {
            *place = seconds;
            self.count += 1;
        }
        Some(())
    }

    #[inline]
    fn keeps(&self, bounds: &Bounds) -> bool {
        let mut numbers = self.numbers.iter().zip(&bounds.numbers);
        let mut texts = self.texts.iter().zip(&bounds.lengths);
        numbers.all(|(value, (low, high))| low <= value && value <= high)
            && texts.all(|(text, &longest)| text.len() <= longest)
            && (self.time == 0 || (bounds.times.0..=bounds.times.1).contains(&self.time))
            && !self.texts[PARTITION].is_empty()
            && !self.texts[QOS].is_empty()
    }

    /// Adds a row; `now` in Unix seconds stands for a time of submission of 0.
    #[inline]
    pub(crate) fn push(&self, columns: &mut [Column], now: i64) {
        provoked(self.texts[PARTITION]);
        let [processors, nodes, memory, wallclock, gpus] = self.numbers;
        let memory = if memory == 0.0 { f64::NAN } else { memory };
        let gpus = if self.gpus_known { gpus } else { f64::NAN };
        for (column, value) in columns.iter_mut().zip([processors, nodes, memory, wallclock, gpus]) {
            column.doubles().push(value);
        }
        columns[NUMBERS].longs().push(if self.time == 0 { now } else { self.time });
        for (column, text) in columns[NUMBERS + 1..].iter_mut().zip(self.texts) {
            column.texts().push(text);
        }
        let recent = columns[FILLED - 1].doubles();
        recent.extend_from_slice(&self.recent[..self.count]);
        recent.extend(std::iter::repeat_n(f64::NAN, RECENT - self.count));
    }
}

/// A number of 32 bits that is not negative.
#[inline]
fn whole(value: u64) -> Option<f64> {
    i32::try_from(value).ok().map(f64::from)
}

#[inline]
fn text_place(found: u8) -> Option<usize> {
    const PLACES: [u8; TEXTS] = [tag(5, BYTES), tag(6, BYTES), tag(8, BYTES), tag(9, BYTES), tag(10, BYTES)];
    PLACES.iter().position(|&known| known == found)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{put_bytes, put_varint};

    fn bounds() -> Bounds {
        Bounds {
            numbers: [(1.0, 1e9), (1.0, 1e9), (0.0, f64::MAX), (5e-324, f64::MAX), (0.0, 1e9)],
            lengths: [256; 5],
            times: (5, 1 << 40),
        }
    }

    fn at(time: i64) -> Vec<u8> {
        let mut out = message(1, 60.0, "debug", &[]);
        out.push(tag(7, VARINT));
        #[allow(clippy::cast_sign_loss, reason = "as protobuf writes them")]
        put_varint(&mut out, time as u64);
        out
    }

    fn message(processors: u64, wallclock: f64, partition: &str, recent: &[f64]) -> Vec<u8> {
        let mut out = vec![tag(1, VARINT)];
        put_varint(&mut out, processors);
        out.push(tag(2, VARINT));
        put_varint(&mut out, 1);
        out.push(tag(4, FIXED64));
        out.extend_from_slice(&wallclock.to_le_bytes());
        put_bytes(&mut out, 5, partition.as_bytes());
        put_bytes(&mut out, 6, b"normal");
        let packed: Vec<u8> = recent.iter().flat_map(|value| value.to_le_bytes()).collect();
        put_bytes(&mut out, 12, &packed);
        out
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_job_or_none(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Job::read(&bytes, &bounds());
        }

        #[test]
        fn a_damaged_job_is_a_job_or_none(
            processors in 1_u64..1000, partition in "[a-z]{1,20}", recent in vec(0.0..1e6, 0..14),
            at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = message(processors, 60.0, &partition, &recent);
            prop_assert!(Job::read(&bytes, &bounds()).is_some());
            let _ = Job::read(&bytes[..cut.index(bytes.len())], &bounds());
            let place = at.index(bytes.len());
            bytes[place] = byte;
            let _ = Job::read(&bytes, &bounds());
        }

        #[test]
        fn the_columns_hold_what_the_message_says(processors in 1_u64..1000, recent in vec(0.0..1e6, 0..14)) {
            let bytes = message(processors, 60.0, "debug", &recent);
            let job = Job::read(&bytes, &bounds()).unwrap();
            #[allow(clippy::cast_precision_loss, reason = "the number is small")]
            let expected = processors as f64;
            prop_assert_eq!(job.numbers[0].to_bits(), expected.to_bits());
            prop_assert_eq!(job.texts[PARTITION], b"debug");
            prop_assert_eq!(&job.recent[..job.count], &recent[..recent.len().min(RECENT)]);
        }
    }

    #[test]
    fn what_breaks_a_rule_is_none() {
        let good = |bytes: &[u8]| Job::read(bytes, &bounds()).is_some();
        assert!(good(&message(1, 60.0, "debug", &[])));
        assert!(!good(&message(0, 60.0, "debug", &[])));
        assert!(!good(&message(u64::from(u32::MAX), 60.0, "debug", &[])));
        assert!(!good(&message(1, f64::NAN, "debug", &[])));
        assert!(!good(&message(1, f64::INFINITY, "debug", &[])));
        assert!(!good(&message(1, 60.0, "", &[])));
        assert!(!good(&message(1, 60.0, &"x".repeat(257), &[])));
        assert!(!good(&message(1, 60.0, "a\0b", &[])));
        assert!(!good(&message(1, 60.0, "debug", &[1.0, f64::NAN])));
        assert!(!good(&message(1, 60.0, "debug", &[-1.0])));
        assert!([0, 5, 1 << 40].map(at).iter().all(|bytes| good(bytes)));
        assert!(![-1, 4, (1 << 40) + 1].map(at).iter().any(|bytes| good(bytes)));
    }
}
