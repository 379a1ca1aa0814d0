//! 64 lanes abreast. The ranks of a row stay in two registers (four above 128 columns), where a byte permutation looks
//! them up; the complete levels of a general group are read as they lie and chosen by blends, and only what is below
//! them needs gathers:
//!
//! ```text
//! level 0   one test of each lane                                    2 x 32 lanes of 16 bits
//! level 1   two, one blend        level 2   four, three blends       level 3   eight, seven blends
//! below     gather node, permute rank, compare, step                 4 x 16 lanes of 32 bits
//! ```

use std::arch::x86_64::{
    __m512i, __mmask16, __mmask32, _mm_cvtsi32_si128, _mm512_add_epi16, _mm512_add_epi32, _mm512_and_si512,
    _mm512_castsi512_si256, _mm512_cmpge_epu16_mask, _mm512_cmpge_epu32_mask, _mm512_cmpneq_epi32_mask,
    _mm512_cvtepu16_epi32, _mm512_extracti64x4_epi64, _mm512_i32gather_epi32, _mm512_loadu_si512,
    _mm512_mask_add_epi16, _mm512_mask_add_epi32, _mm512_mask_blend_epi8, _mm512_mask_blend_epi16,
    _mm512_maskz_permutex2var_epi8, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setr_epi32,
    _mm512_setzero_si512, _mm512_sll_epi32, _mm512_slli_epi32, _mm512_srli_epi16, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_test_epi8_mask,
};

use crate::group::{Group, LANES, Level, TOP};
use crate::ranks::STRIDE;

const HALF: usize = LANES / 2;
const QUARTER: usize = LANES / 4;
/// Groups with fewer steps finish together as a rule; it does not pay to ask.
const ASK: usize = 6;

/// Walks a group.
///
/// # Safety
/// The processor has the features below; `ranks` has `rows * STRIDE` bytes and `out` a row of `LANES` words each
/// `stride` words.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn walk(group: &Group, ranks: *const u8, rows: usize, out: *mut u32, stride: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match (group.oblivious, group.wide) {
            (false, false) => each::<false, false>(group, ranks, rows, out, stride),
            (false, true) => each::<false, true>(group, ranks, rows, out, stride),
            (true, false) => each::<true, false>(group, ranks, rows, out, stride),
            (true, true) => each::<true, true>(group, ranks, rows, out, stride),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn each<const OBLIVIOUS: bool, const WIDE: bool>(
    group: &Group,
    ranks: *const u8,
    rows: usize,
    out: *mut u32,
    stride: usize,
) {
    for row in 0..rows {
        // SAFETY: the caller's promise, row by row.
        unsafe {
            let row_ranks = Row::<WIDE>::load(ranks.add(row * STRIDE));
            let out = out.add(row * stride);
            let index = if OBLIVIOUS { oblivious(group, &row_ranks) } else { general(group, &row_ranks) };
            for (quarter, index) in index.into_iter().enumerate() {
                let payload = _mm512_i32gather_epi32::<4>(index, group.payloads.as_ptr().cast());
                _mm512_storeu_si512(out.add(quarter * QUARTER).cast(), payload);
            }
        }
    }
}

/// The ranks of one row.
struct Row<const WIDE: bool>([__m512i; 4]);

impl<const WIDE: bool> Row<WIDE> {
    #[target_feature(enable = "avx512f")]
    unsafe fn load(ranks: *const u8) -> Self {
        let zero = _mm512_setzero_si512();
        // SAFETY: a row has STRIDE = 256 bytes.
        Self(unsafe {
            let low = [_mm512_loadu_si512(ranks.cast()), _mm512_loadu_si512(ranks.add(64).cast())];
            if WIDE {
                let high = [_mm512_loadu_si512(ranks.add(128).cast()), _mm512_loadu_si512(ranks.add(192).cast())];
                [low[0], low[1], high[0], high[1]]
            } else {
                [low[0], low[1], zero, zero]
            }
        })
    }

    /// Ranks of the columns in the bytes of `tests` that `bytes` names; the other bytes are 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn look_up(&self, tests: __m512i, bytes: u64) -> __m512i {
        let low = _mm512_maskz_permutex2var_epi8(bytes, self.0[0], tests, self.0[1]);
        if !WIDE {
            return low;
        }
        let high = _mm512_maskz_permutex2var_epi8(bytes, self.0[2], tests, self.0[3]);
        let second = _mm512_test_epi8_mask(tests, _mm512_set1_epi8(i8::MIN));
        _mm512_mask_blend_epi8(second & bytes, low, high)
    }

    /// Which of 32 tests fail.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn fail16(&self, tests: __m512i) -> __mmask32 {
        let rank = self.look_up(tests, 0x5555_5555_5555_5555);
        _mm512_cmpge_epu16_mask(rank, _mm512_srli_epi16::<8>(tests))
    }

    /// Which of 16 nodes' tests fail.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn fail32(&self, nodes: __m512i) -> __mmask16 {
        let rank = self.look_up(nodes, 0x1111_1111_1111_1111);
        let cut = _mm512_and_si512(_mm512_srli_epi32::<8>(nodes), _mm512_set1_epi32(0xff));
        _mm512_cmpge_epu32_mask(rank, cut)
    }
}

/// `path << 1 | fails` in 16-bit lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn turn(path: __m512i, fails: __mmask32) -> __m512i {
    let twice = _mm512_add_epi16(path, path);
    _mm512_mask_add_epi16(twice, fails, twice, _mm512_set1_epi16(1))
}

/// `lane << depth | path` of each lane, from the paths in 16-bit lanes.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "64 lanes, at most ten levels")]
fn entries(paths: [__m512i; 2], depth: usize) -> [__m512i; 4] {
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let quarters = [
        _mm512_castsi512_si256(paths[0]),
        _mm512_extracti64x4_epi64::<1>(paths[0]),
        _mm512_castsi512_si256(paths[1]),
        _mm512_extracti64x4_epi64::<1>(paths[1]),
    ];
    let mut index = [lanes; 4];
    for (quarter, index) in index.iter_mut().enumerate() {
        let lane = _mm512_add_epi32(lanes, _mm512_set1_epi32((quarter * QUARTER) as i32));
        let first = _mm512_sll_epi32(lane, _mm_cvtsi32_si128(depth as i32));
        *index = _mm512_add_epi32(first, _mm512_cvtepu16_epi32(quarters[quarter]));
    }
    index
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn oblivious<const WIDE: bool>(group: &Group, ranks: &Row<WIDE>) -> [__m512i; 4] {
    let levels = &group.levels[..group.levels.len() - 1];
    let mut paths = [_mm512_setzero_si512(); 2];
    for level in levels {
        for (half, path) in paths.iter_mut().enumerate() {
            *path = turn(*path, ranks.fail16(tests(level, half)));
        }
    }
    entries(paths, levels.len())
}

/// The tests of 32 lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn tests(level: &Level, half: usize) -> __m512i {
    let tests = &level[half * HALF..(half + 1) * HALF];
    // SAFETY: 32 lanes of 16 bits are 64 bytes.
    unsafe { _mm512_loadu_si512(tests.as_ptr().cast()) }
}

/// Paths of 32 lanes through the complete levels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn complete<const WIDE: bool>(levels: &[Level; (1 << TOP) - 1], ranks: &Row<WIDE>, half: usize) -> __m512i {
    let at = |place: usize| tests(&levels[place], half);
    let first = ranks.fail16(at(0));
    let second = ranks.fail16(_mm512_mask_blend_epi16(first, at(1), at(2)));
    let pair = |place: usize, apart: usize| _mm512_mask_blend_epi16(first, at(place), at(place + apart));
    let third = ranks.fail16(_mm512_mask_blend_epi16(second, pair(3, 2), pair(4, 2)));
    let even = _mm512_mask_blend_epi16(second, pair(7, 4), pair(9, 4));
    let odd = _mm512_mask_blend_epi16(second, pair(8, 4), pair(10, 4));
    let fourth = ranks.fail16(_mm512_mask_blend_epi16(third, even, odd));
    let path = turn(turn(_mm512_setzero_si512(), first), second);
    turn(turn(path, third), fourth)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn general<const WIDE: bool>(group: &Group, ranks: &Row<WIDE>) -> [__m512i; 4] {
    let Some(levels) = group.levels.first_chunk() else { unreachable!("a general group has 16 levels") };
    let paths = [complete(levels, ranks, 0), complete(levels, ranks, 1)];
    let mut index = entries(paths, TOP);
    for _ in 0..group.steps {
        let mut moved = 0;
        for index in &mut index {
            // SAFETY: an index is an entry or a child's, all below the number of nodes.
            let node = unsafe { _mm512_i32gather_epi32::<4>(*index, group.nodes.as_ptr().cast()) };
            let child = _mm512_slli_epi32::<1>(_mm512_srli_epi32::<16>(node));
            let next = _mm512_mask_add_epi32(child, ranks.fail32(node), child, _mm512_set1_epi32(1));
            moved |= _mm512_cmpneq_epi32_mask(next, *index);
            *index = next;
        }
        if group.steps >= ASK && moved == 0 {
            break;
        }
    }
    index
}
