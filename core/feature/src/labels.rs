//! A table from texts to numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A quick hash: tables are fixed when a graph is loaded, so that nobody can choose keys that collide.
#[derive(Clone, Default)]
pub(crate) struct Quick(u64);

impl Hasher for Quick {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0_u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain(std::iter::once(&last)) {
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        }
        self.0 ^= self.0 >> 29;
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

/// Labels by texts.
#[derive(Clone, Debug)]
pub(crate) struct Labels<T> {
    known: HashMap<Box<[u8]>, T, BuildHasherDefault<Quick>>,
    other: T,
}

impl<T: Copy> Labels<T> {
    /// None when a key is there twice.
    pub(crate) fn new(keys: &[Vec<u8>], values: &[T], other: T) -> Option<Self> {
        let mut known = HashMap::with_capacity_and_hasher(keys.len(), BuildHasherDefault::default());
        for (key, &value) in keys.iter().zip(values) {
            if known.insert(key.clone().into_boxed_slice(), value).is_some() {
                return None;
            }
        }
        Some(Self { known, other })
    }

    #[inline]
    pub(crate) fn of(&self, text: &[u8]) -> T {
        self.known.get(text).copied().unwrap_or(self.other)
    }

    /// All that may be found.
    pub(crate) fn all(&self) -> impl Iterator<Item = T> {
        self.known.values().copied().chain(std::iter::once(self.other))
    }
}
