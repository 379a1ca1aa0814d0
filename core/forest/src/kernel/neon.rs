//! Sixteen lanes in a register. The ranks of a row stay in registers and are looked up by table, so that complete levels
//! need no load but their tests; NEON has no gather, so deeper nodes are walked as in plain code.

use std::arch::aarch64::{
    uint8x16_t, uint8x16x2_t, uint8x16x4_t, uint16x8_t, vbslq_u8, vcgeq_u8, vdupq_n_u8, vdupq_n_u16, vget_low_u8,
    vld1q_u8_x4, vld2q_u8, vmovl_high_u8, vmovl_u8, vorrq_u8, vorrq_u16, vqtbl4q_u8, vqtbx4q_u8, vshlq_n_u8,
    vshlq_n_u16, vshrq_n_u8, vst1q_u8, vst1q_u16, vsubq_u8,
};

use super::portable;
use crate::group::{Group, LANES, Level, TOP};
use crate::ranks::STRIDE;

const WIDTH: usize = 16;

/// Bytes of a table.
const TABLE: u8 = 64;

/// Walks a group.
#[target_feature(enable = "neon")]
pub(super) fn walk(group: &Group, ranks: &[u8], rows: usize, out: &mut [u32], stride: usize) {
    if group.wide {
        walk_in::<4>(group, ranks, rows, out, stride);
    } else {
        walk_in::<2>(group, ranks, rows, out, stride);
    }
}

/// Walks a group whose columns fit so many tables.
#[target_feature(enable = "neon")]
fn walk_in<const TABLES: usize>(group: &Group, ranks: &[u8], rows: usize, out: &mut [u32], stride: usize) {
    let used = group.trees.len().div_ceil(WIDTH);
    for (row, ranks) in ranks.chunks_exact(STRIDE).take(rows).enumerate() {
        let tables = Tables::<TABLES>::of(ranks);
        let out = &mut out[row * stride..row * stride + LANES];
        for (chunk, out) in out.chunks_exact_mut(WIDTH).take(used).enumerate() {
            let first = chunk * WIDTH;
            if group.oblivious {
                oblivious(group, &tables, first, out);
            } else {
                general(group, &tables, ranks, first, out);
            }
        }
    }
}

/// The ranks of a row.
struct Tables<const COUNT: usize>([uint8x16x4_t; COUNT]);

impl<const COUNT: usize> Tables<COUNT> {
    #[target_feature(enable = "neon")]
    fn of(ranks: &[u8]) -> Self {
        let parts = ranks.as_chunks::<{ TABLE as usize }>().0;
        // SAFETY: each part has the 64 bytes that are read.
        Self(std::array::from_fn(|at| unsafe { vld1q_u8_x4(parts[at].as_ptr()) }))
    }

    /// All ones where the test of a lane fails, else 0.
    #[target_feature(enable = "neon")]
    fn fail(&self, uint8x16x2_t(columns, cuts): uint8x16x2_t) -> uint8x16_t {
        let (mut rank, mut rest) = (vqtbl4q_u8(self.0[0], columns), columns);
        for &table in &self.0[1..] {
            // What is not of this table is 64 or more, below 0 too, and leaves the rank as it is.
            rest = vsubq_u8(rest, vdupq_n_u8(TABLE));
            rank = vqtbx4q_u8(rank, table, rest);
        }
        vcgeq_u8(rank, cuts)
    }
}

/// Columns and cuts of sixteen lanes.
#[target_feature(enable = "neon")]
fn tests(level: &Level, first: usize) -> uint8x16x2_t {
    let tests: &[u16] = &level[first..first + WIDTH];
    // SAFETY: 16 tests of 2 bytes are read, the column first in memory.
    unsafe { vld2q_u8(tests.as_ptr().cast()) }
}

#[target_feature(enable = "neon")]
fn oblivious<const TABLES: usize>(group: &Group, tables: &Tables<TABLES>, first: usize, out: &mut [u32]) {
    let levels = &group.levels[..group.levels.len() - 1];
    let (mut low, mut high): (uint16x8_t, uint16x8_t) = (vdupq_n_u16(0), vdupq_n_u16(0));
    for level in levels {
        let fails = vshrq_n_u8::<7>(tables.fail(tests(level, first)));
        low = vorrq_u16(vshlq_n_u16::<1>(low), vmovl_u8(vget_low_u8(fails)));
        high = vorrq_u16(vshlq_n_u16::<1>(high), vmovl_high_u8(fails));
    }
    let mut paths = [0_u16; WIDTH];
    // SAFETY: sixteen words are written, eight at each place.
    unsafe {
        vst1q_u16(paths.as_mut_ptr(), low);
        vst1q_u16(paths[WIDTH / 2..].as_mut_ptr(), high);
    }
    for (lane, (out, path)) in out.iter_mut().zip(paths).enumerate() {
        *out = group.payloads[(first + lane) << levels.len() | usize::from(path)];
    }
}

#[target_feature(enable = "neon")]
fn general<const TABLES: usize>(group: &Group, tables: &Tables<TABLES>, ranks: &[u8], first: usize, out: &mut [u32]) {
    let (mut path, mut taken) = (vdupq_n_u8(0), [vdupq_n_u8(0); TOP]);
    for level in 0..TOP {
        // The tests of all places of a level, halved by each step of the path, the first step first.
        let mut left: [uint8x16x2_t; 1 << (TOP - 1)] = [uint8x16x2_t(path, path); 1 << (TOP - 1)];
        let mut count = 1 << level;
        for (place, test) in left[..count].iter_mut().enumerate() {
            *test = tests(&group.levels[count - 1 + place], first);
        }
        for &step in &taken[..level] {
            count /= 2;
            for place in 0..count {
                let (no, yes) = (left[place + count], left[place]);
                left[place] = uint8x16x2_t(vbslq_u8(step, no.0, yes.0), vbslq_u8(step, no.1, yes.1));
            }
        }
        taken[level] = tables.fail(left[0]);
        path = vorrq_u8(vshlq_n_u8::<1>(path), vshrq_n_u8::<7>(taken[level]));
    }
    let mut paths = [0_u8; WIDTH];
    // SAFETY: sixteen bytes are written.
    unsafe { vst1q_u8(paths.as_mut_ptr(), path) };
    let (paths, _) = paths.as_chunks::<{ portable::ABREAST }>();
    for (half, (out, paths)) in out.chunks_exact_mut(portable::ABREAST).zip(paths).enumerate() {
        let entry = |lane: usize| (first + half * portable::ABREAST + lane) << TOP | usize::from(paths[lane]);
        let index = portable::below(group, ranks, std::array::from_fn(entry));
        for (out, index) in out.iter_mut().zip(index) {
            *out = group.payloads[index];
        }
    }
}
