//! Eight lanes in a register, four registers abreast; every look-up is a gather of a word, of which some bytes count.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_cmpgt_epi32,
    _mm256_i32gather_epi32, _mm256_movemask_ps, _mm256_or_si256, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_sub_epi32,
};

use crate::group::{Group, LANES, TOP};
use crate::ranks::STRIDE;

const ABREAST: usize = 4;
const WIDTH: usize = 8;

/// Walks a group.
///
/// # Safety
/// The processor has AVX2; `ranks` has `rows * STRIDE + 3` bytes and `out` a row of `LANES` words each `stride` words.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn walk(group: &Group, ranks: *const u8, rows: usize, out: *mut u32, stride: usize) {
    let registers = group.trees.len().div_ceil(WIDTH);
    for row in 0..rows {
        for first in (0..registers).step_by(ABREAST) {
            // SAFETY: the caller's promise, row by row; `first` is 0 or 4.
            unsafe {
                let ranks = ranks.add(row * STRIDE);
                let index = if group.oblivious { oblivious(group, ranks, first) } else { general(group, ranks, first) };
                for (register, index) in index.into_iter().enumerate() {
                    let payload = _mm256_i32gather_epi32::<4>(group.payloads.as_ptr().cast(), index);
                    let to = out.add(row * stride + (first + register) * WIDTH);
                    _mm256_storeu_si256(to.cast(), payload);
                }
            }
        }
    }
}

/// Numbers of the lanes in a register.
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "there are 64 lanes")]
fn lanes(register: usize) -> __m256i {
    let first = _mm256_set1_epi32((register * WIDTH) as i32);
    _mm256_add_epi32(first, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// 1 where the test in the low 16 bits fails, else 0.
///
/// # Safety
/// `ranks` has `STRIDE + 3` bytes.
#[target_feature(enable = "avx2")]
unsafe fn fails(test: __m256i, ranks: *const u8) -> __m256i {
    let byte = _mm256_set1_epi32(0xff);
    let column = _mm256_and_si256(test, byte);
    let cut = _mm256_and_si256(_mm256_srli_epi32::<8>(test), byte);
    // SAFETY: a column is below 256, and 3 bytes follow the last.
    let word = unsafe { _mm256_i32gather_epi32::<1>(ranks.cast(), column) };
    let holds = _mm256_cmpgt_epi32(cut, _mm256_and_si256(word, byte));
    _mm256_add_epi32(holds, _mm256_set1_epi32(1))
}

/// Index of every lane's leaf.
///
/// # Safety
/// As for `walk`, of one row; the group is oblivious.
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most ten levels of 64 lanes")]
unsafe fn oblivious(group: &Group, ranks: *const u8, first: usize) -> [__m256i; ABREAST] {
    let depth = group.levels.len() - 1;
    let mut index: [__m256i; ABREAST] = std::array::from_fn(|register| lanes(first + register));
    for level in 0..depth {
        for (register, index) in index.iter_mut().enumerate() {
            let place = _mm256_add_epi32(_mm256_set1_epi32((level * LANES) as i32), lanes(first + register));
            // SAFETY: a level follows the last, so that a word may be read at its last half.
            unsafe {
                let test = _mm256_i32gather_epi32::<2>(group.levels.as_ptr().cast(), place);
                *index = _mm256_or_si256(_mm256_slli_epi32::<1>(*index), fails(test, ranks));
            }
        }
    }
    index
}

/// Index of every lane's leaf.
///
/// # Safety
/// As for `walk`, of one row; the group is general.
#[target_feature(enable = "avx2")]
unsafe fn general(group: &Group, ranks: *const u8, first: usize) -> [__m256i; ABREAST] {
    let one = _mm256_set1_epi32(1);
    let mut place = [one; ABREAST];
    for _ in 0..TOP {
        for (register, place) in place.iter_mut().enumerate() {
            let level = _mm256_slli_epi32::<6>(_mm256_sub_epi32(*place, one));
            // SAFETY: places are 1 to 15 here, there are 16 levels of 64 lanes.
            unsafe {
                let at = _mm256_add_epi32(level, lanes(first + register));
                let test = _mm256_i32gather_epi32::<2>(group.levels.as_ptr().cast(), at);
                *place = _mm256_or_si256(_mm256_slli_epi32::<1>(*place), fails(test, ranks));
            }
        }
    }
    let mut index: [__m256i; ABREAST] = std::array::from_fn(|register| {
        // Places of the entries start at 16: 16 * (lane - 1) + place.
        let lane = _mm256_sub_epi32(lanes(first + register), one);
        _mm256_add_epi32(_mm256_slli_epi32::<4>(lane), place[register])
    });
    for _ in 0..group.steps {
        let mut same = _mm256_set1_epi32(-1);
        for index in &mut index {
            // SAFETY: an index is an entry or a child's, all below the number of nodes.
            unsafe {
                let node = _mm256_i32gather_epi32::<4>(group.nodes.as_ptr().cast(), *index);
                let child = _mm256_slli_epi32::<1>(_mm256_srli_epi32::<16>(node));
                let next = _mm256_or_si256(child, fails(node, ranks));
                same = _mm256_and_si256(same, _mm256_cmpeq_epi32(next, *index));
                *index = next;
            }
        }
        if _mm256_movemask_ps(_mm256_castsi256_ps(same)) == 0xff {
            break;
        }
    }
    index
}
