//! Ways to walk a group. Each is the same function: ranks of rows in, one payload for each lane and row out.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::group::{Group, LANES};
use crate::ranks::{Ranks, STRIDE};

/// How trees are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Plain code for every processor.
    Portable,
    /// AVX2: eight lanes, all look-ups by gather.
    Avx2,
    /// AVX-512 with VBMI: ranks of a row stay in registers, upper levels need no gather.
    Avx512,
    /// NEON: ranks of a row stay in registers, complete levels need no look-up in memory.
    Neon,
}

impl Kernel {
    /// Those that this processor can run.
    #[must_use]
    pub fn available() -> Vec<Kernel> {
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Neon].into_iter().filter(|kernel| kernel.runs_here()).collect()
    }

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn runs_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("popcnt")
            }
            Self::Neon => false,
        }
    }

    #[cfg(target_arch = "aarch64")]
    pub(crate) fn runs_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 | Self::Avx512 => false,
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(crate) fn runs_here(self) -> bool {
        self == Self::Portable
    }

    /// Ranks of `rows` rows of `width` features, `STRIDE` bytes each.
    pub(crate) fn rank(self, tables: &Ranks, rows: &[f32], width: usize, ranks: &mut [u8]) {
        for (row, out) in rows.chunks_exact(width).zip(ranks.chunks_exact_mut(STRIDE)) {
            match self {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a forest holds only kernels that `runs_here` allows.
                Self::Avx512 => unsafe { tables.avx512(row, out) },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: as above.
                Self::Neon => unsafe { tables.neon(row, out) },
                _ => tables.portable(row, out),
            }
        }
    }

    /// Walks a group for `rows` rows; the payload of lane l of row r goes to `out[r * stride + l]`.
    pub(crate) fn walk(self, group: &Group, ranks: &[u8], rows: usize, out: &mut [u32], stride: usize) {
        assert!(ranks.len() >= rows * STRIDE + 3, "kernels read whole words at the last rank");
        assert!(rows == 0 || out.len() >= (rows - 1) * stride + LANES, "a row of lanes is written for each row");
        match self {
            Self::Portable => portable::walk(group, ranks, rows, out, stride),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a forest holds only kernels that `runs_here` allows; lengths are asserted above.
            Self::Avx2 => unsafe { avx2::walk(group, ranks.as_ptr(), rows, out.as_mut_ptr(), stride) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { avx512::walk(group, ranks.as_ptr(), rows, out.as_mut_ptr(), stride) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Self::Neon => unsafe { neon::walk(group, ranks, rows, out, stride) },
            _ => portable::walk(group, ranks, rows, out, stride),
        }
    }
}
