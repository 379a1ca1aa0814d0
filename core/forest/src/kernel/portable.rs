//! Eight lanes at a time in plain code, so that the loads of one wait beside those of the others.

use crate::group::{Group, LANES, Level, TOP};
use crate::ranks::STRIDE;

pub(super) const ABREAST: usize = 8;

pub(super) fn walk(group: &Group, ranks: &[u8], rows: usize, out: &mut [u32], stride: usize) {
    for row in 0..rows {
        let ranks = &ranks[row * STRIDE..(row + 1) * STRIDE];
        let out = &mut out[row * stride..row * stride + LANES];
        for (chunk, out) in out.chunks_exact_mut(ABREAST).take(group.trees.len().div_ceil(ABREAST)).enumerate() {
            let first = chunk * ABREAST;
            let index = if group.oblivious { oblivious(group, ranks, first) } else { general(group, ranks, first) };
            for (out, index) in out.iter_mut().zip(index) {
                *out = group.payloads[index];
            }
        }
    }
}

/// 1 where the test fails.
fn fails(test: u16, ranks: &[u8]) -> usize {
    let [column, cut] = test.to_le_bytes();
    usize::from(ranks[column as usize] >= cut)
}

fn oblivious(group: &Group, ranks: &[u8], first: usize) -> [usize; ABREAST] {
    let levels: &[Level] = &group.levels[..group.levels.len() - 1];
    let mut path = [0; ABREAST];
    for level in levels {
        for (lane, path) in path.iter_mut().enumerate() {
            *path = *path << 1 | fails(level[first + lane], ranks);
        }
    }
    std::array::from_fn(|lane| (first + lane) << levels.len() | path[lane])
}

fn general(group: &Group, ranks: &[u8], first: usize) -> [usize; ABREAST] {
    let mut place = [1; ABREAST];
    for _ in 0..TOP {
        for (lane, place) in place.iter_mut().enumerate() {
            *place = *place << 1 | fails(group.levels[*place - 1][first + lane], ranks);
        }
    }
    below(group, ranks, std::array::from_fn(|lane| (first + lane) << TOP | (place[lane] - (1 << TOP))))
}

/// From nodes below the complete levels to leaves.
pub(super) fn below(group: &Group, ranks: &[u8], mut index: [usize; ABREAST]) -> [usize; ABREAST] {
    for _ in 0..group.steps {
        let before = index;
        for index in &mut index {
            let node = group.nodes[*index];
            *index = ((node >> 16) as usize) << 1 | fails((node & 0xffff) as u16, ranks);
        }
        if index == before {
            break;
        }
    }
    index
}
