//! From a row of outputs to the bytes of a `PredictResponse`, in the layout of the Python engine:
//!
//! ```text
//! 0a len len | 09 f64 point | 15 f32 lower | 1d f32 upper | 22 n version | 28 time (5 bytes) | 41 f64 confidence
//!     | 5a n levels | 62 n quantiles | 69 f64 limit | 3a n category | 32 n request id
//! ```
//!
//! `0a len len` frames the row as one of `PredictBatchResponse.predictions`; a lone answer is the row without it, and the
//! request id is in lone answers only.

use crate::wire::{BYTES, FIXED64, VARINT, put_bytes, put_varint, tag};

const FIXED32: u64 = 5;
const CATEGORIES: [(f64, &[u8]); 3] = [(3600.0, b"short"), (21600.0, b"medium"), (86400.0, b"long")];
const LONGEST_CATEGORY: &[u8] = b"very_long";

/// What the outputs of a bundle are.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Quantile levels, ascending.
    pub levels: Vec<f64>,
    /// Places of the interval's ends.
    pub interval: (usize, usize),
    /// Place of the suggested limit.
    pub limit: usize,
    /// The bundle's version.
    pub version: String,
}

/// Writes the answers of one bundle.
pub(crate) struct Encoder {
    head: Vec<u8>,
    grid: Vec<u8>,
    count: usize,
    interval: (usize, usize),
    limit: usize,
}

impl Encoder {
    /// None when a place is not among the levels.
    pub(crate) fn new(levels: &Levels) -> Option<Self> {
        let count = levels.levels.len();
        if levels.interval.0.max(levels.interval.1).max(levels.limit) >= count {
            return None;
        }
        let (mut head, mut grid, mut packed) = (Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut head, 4, levels.version.as_bytes());
        head.push(tag(5, VARINT));
        for level in &levels.levels {
            packed.extend_from_slice(&level.to_le_bytes());
        }
        put_bytes(&mut grid, 11, &packed);
        grid.push(tag(12, BYTES));
        put_varint(&mut grid, packed.len() as u64);
        Some(Self { head, grid, count, interval: levels.interval, limit: levels.limit })
    }

    pub(crate) fn levels(&self) -> usize {
        self.count
    }

    /// Room that an answer takes, or a little more.
    pub(crate) fn room(&self) -> usize {
        self.head.len() + self.grid.len() + self.count * 8 + 64
    }

    /// Appends an answer without its frame; none for outputs that no answer can hold.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, quantiles: &[f32], point: f32, now: i64) -> Option<()> {
        let quantiles = quantiles.get(..self.count)?;
        let (lower, upper) = (quantiles[self.interval.0], quantiles[self.interval.1]);
        let confidence = confidence(f64::from(lower), f64::from(upper))?;
        out.push(tag(1, FIXED64));
        out.extend_from_slice(&f64::from(point).to_le_bytes());
        out.push(tag(2, FIXED32));
        out.extend_from_slice(&lower.to_le_bytes());
        out.push(tag(3, FIXED32));
        out.extend_from_slice(&upper.to_le_bytes());
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&timestamp(now));
        out.push(tag(8, FIXED64));
        out.extend_from_slice(&confidence.to_le_bytes());
        out.extend_from_slice(&self.grid);
        for &quantile in quantiles {
            out.extend_from_slice(&f64::from(quantile).to_le_bytes());
        }
        out.push(tag(13, FIXED64));
        out.extend_from_slice(&f64::from(quantiles[self.limit]).to_le_bytes());
        let seconds = f64::from(point);
        let found = CATEGORIES.iter().find(|(end, _)| seconds < *end);
        put_bytes(out, 7, found.map_or(LONGEST_CATEGORY, |(_, name)| name));
        Some(())
    }

    /// Appends an answer as one of a batch.
    #[inline]
    pub(crate) fn write_framed(&self, out: &mut Vec<u8>, quantiles: &[f32], point: f32, now: i64) -> Option<()> {
        let start = out.len();
        out.extend_from_slice(&[tag(1, BYTES), 0, 0]);
        self.write(out, quantiles, point, now)?;
        let length = out.len() - start - 3;
        out[start + 1] = u8::try_from(length & 0x7f).ok()? | 0x80;
        out[start + 2] = u8::try_from(length >> 7).ok().filter(|&high| high < 0x80)?;
        Some(())
    }
}

/// Appends the request id, where there is one.
pub(crate) fn put_request_id(out: &mut Vec<u8>, request_id: &[u8]) {
    if !request_id.is_empty() {
        put_bytes(out, 6, request_id);
    }
}

/// What is behind the answers of a `PredictBatchResponse` without errors: the batch's name, how many they are, and how
/// long they took.
#[must_use]
pub fn batch_tail(batch_id: &str, rows: usize, milliseconds: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch_id.len() + 32);
    if !batch_id.is_empty() {
        put_bytes(&mut out, 2, batch_id.as_bytes());
    }
    for (number, value) in [(3, rows as u64), (6, milliseconds)] {
        if value > 0 {
            out.push(tag(number, VARINT));
            put_varint(&mut out, value);
        }
    }
    out
}

/// How narrow the interval (s) is on the log scale: 1 / (1 + ln((1 + upper) / (1 + lower))).
#[inline]
fn confidence(lower: f64, upper: f64) -> Option<f64> {
    let ratio = (1.0 + upper) / (1.0 + lower);
    let found = 1.0 / (1.0 + ratio.ln());
    (ratio > 0.0 && found.is_finite()).then_some(found)
}

/// A varint of five bytes, whatever the time.
#[inline]
fn timestamp(seconds: i64) -> [u8; 5] {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seven bits are left")]
    let bits = |shift: u32| (seconds >> shift & 0x7f) as u8;
    [bits(0) | 0x80, bits(7) | 0x80, bits(14) | 0x80, bits(21) | 0x80, bits(28)]
}
