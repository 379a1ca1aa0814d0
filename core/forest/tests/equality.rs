//! Every kernel, in blocks of every size, gives the bits of the plain walk: the law of the crate.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

#[allow(missing_docs)]
mod shape;

use jobcast_forest::{Attributes, Forest, Kernel, Mode, Plan};
use proptest::prelude::*;
use shape::{Shape, grow, rows};

const ALL: &[Mode] = &[Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt];
const LEQ: &[Mode] = &[Mode::Leq];

const USUAL: Shape = Shape {
    trees: 150,
    outputs: 1,
    features: 20,
    depth: 8,
    early: 10,
    oblivious: false,
    thresholds: 200,
    modes: LEQ,
    missing: true,
};

/// Compares every plan with the plain walk for batches of 0 to `count` rows.
fn check(attributes: &Attributes, width: usize, count: usize, seed: u64) {
    let trees = attributes.trees().expect("the forest is well made");
    let forest = Forest::compile(attributes).expect("the forest is well made");
    let batch = rows(attributes, width, count, seed);
    let wanted: Vec<u32> = batch.chunks_exact(width).flat_map(|row| trees.predict(row)).map(f32::to_bits).collect();
    let outputs = forest.outputs();
    let mut out = vec![f32::NAN; count * outputs];
    for kernel in Kernel::available() {
        for block in [1, 3, 8, 64] {
            out.fill(f32::NAN);
            forest.predict_with(Plan { kernel, block }, &batch, width, &mut out).expect("it runs here");
            let found: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
            assert_eq!(found, wanted, "{kernel:?} in blocks of {block}: {}", forest.report());
        }
    }
    for some in [0, 1, 2, 4, 5, count - 1] {
        out.fill(f32::NAN);
        forest.predict(&batch[..some * width], width, &mut out[..some * outputs]).expect("it fits");
        let found: Vec<u32> = out[..some * outputs].iter().map(|value| value.to_bits()).collect();
        assert_eq!(found, wanted[..some * outputs], "{some} rows: {}", forest.report());
    }
}

fn check_shape(shape: Shape, seed: u64) {
    let width = shape.features as usize + 1;
    check(&grow(shape, seed), width, 33, seed ^ 0xabcd);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_forest(
        trees in 1_usize..140, outputs in 1_usize..36, features in 1_u64..160, depth in 0_usize..11, early in 0_u64..40,
        oblivious: bool, thresholds in 1_u64..300, several: bool, missing: bool, seed: u64,
    ) {
        let depth = if early < 10 { depth.min(7) } else { depth };
        let modes = if several { ALL } else { LEQ };
        check_shape(Shape { trees, outputs, features, depth, early, oblivious, thresholds, modes, missing }, seed);
    }
}

#[test]
fn complete_trees() {
    check_shape(Shape { early: 0, trees: 70, ..USUAL }, 1);
}

#[test]
fn oblivious_trees() {
    for (depth, outputs) in [(1, 1), (6, 9), (10, 1), (11, 2)] {
        check_shape(Shape { oblivious: true, depth, outputs, trees: 67, ..USUAL }, 2);
    }
}

#[test]
fn deep_and_lean_trees() {
    check_shape(Shape { depth: 60, early: 48, ..USUAL }, 3);
}

#[test]
fn stumps_and_single_leaves() {
    check_shape(Shape { depth: 0, ..USUAL }, 4);
    check_shape(Shape { depth: 1, early: 50, ..USUAL }, 5);
}

#[test]
fn more_than_128_columns() {
    let shape = Shape { features: 120, trees: 300, outputs: 3, ..USUAL };
    check_shape(shape, 6);
    let oblivious = Shape { oblivious: true, ..shape };
    check_shape(oblivious, 7);
}

#[test]
fn every_column_that_a_byte_can_name() {
    for seed in [14, 15] {
        let attributes =
            grow(Shape { features: 128, trees: 400, thresholds: 30, oblivious: seed == 15, ..USUAL }, seed);
        let report = Forest::compile(&attributes).expect("well made").report();
        assert_eq!((report.segments, report.plain), (1, 0), "{report}");
        check(&attributes, 129, 65, seed);
    }
}

#[test]
fn more_outputs_than_one_register_and_more_than_two() {
    for outputs in [16, 17, 32, 33, 70] {
        check_shape(Shape { outputs, trees: 30, ..USUAL }, 8);
    }
}

#[test]
fn thresholds_beyond_a_byte_make_segments() {
    let attributes = grow(Shape { features: 2, thresholds: 2000, depth: 6, early: 0, trees: 40, ..USUAL }, 9);
    let report = Forest::compile(&attributes).expect("well made").report();
    assert!(report.segments > 1 && report.plain == 0, "{report}");
    check(&attributes, 3, 33, 9);
}

#[test]
fn a_tree_beyond_a_byte_is_walked_as_it_came() {
    let attributes = grow(Shape { features: 1, thresholds: 4000, depth: 10, early: 0, trees: 3, ..USUAL }, 10);
    let report = Forest::compile(&attributes).expect("well made").report();
    assert_eq!(report.plain, 3, "{report}");
    check(&attributes, 2, 33, 10);
}

#[test]
fn thresholds_at_the_ends_of_the_line() {
    let mut attributes = grow(Shape { features: 3, thresholds: 20, modes: ALL, ..USUAL }, 11);
    let ends = [f32::INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, f32::MIN_POSITIVE, 1e-45];
    for (at, value) in attributes.nodes_values.iter_mut().enumerate() {
        *value = ends[at % ends.len()];
    }
    check(&attributes, 4, 80, 11);
    let leq = Shape { features: 3, thresholds: 20, ..USUAL };
    let mut attributes = grow(leq, 12);
    for (at, value) in attributes.nodes_values.iter_mut().enumerate() {
        *value = if at % 2 == 0 { f32::NEG_INFINITY } else { 1.0 };
    }
    check(&attributes, 4, 80, 12);
}

#[test]
fn threads_share_a_forest() {
    let attributes = grow(USUAL, 13);
    let forest = Forest::compile(&attributes).expect("well made");
    let batch = rows(&attributes, 21, 64, 13);
    let answer = || {
        let mut out = vec![0.0; 64];
        forest.predict(&batch, 21, &mut out).expect("it fits");
        out.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let alone = answer();
    std::thread::scope(|scope| {
        for handle in [scope.spawn(answer), scope.spawn(answer), scope.spawn(answer)] {
            assert_eq!(handle.join().expect("no panic"), alone);
        }
    });
}

#[test]
fn numbers_of_nodes_and_the_order_of_weights_tell_nothing() {
    let usual = grow(Shape { outputs: 5, trees: 30, ..USUAL }, 16);
    let mut other = usual.clone();
    for numbers in [&mut other.nodes_nodeids, &mut other.target_nodeids] {
        for number in numbers.iter_mut() {
            *number = 7 - 2 * *number;
        }
    }
    for at in 0..usual.nodes_modes.len() {
        other.nodes_truenodeids[at] = 7 - 2 * usual.nodes_truenodeids[at];
        other.nodes_falsenodeids[at] = 7 - 2 * usual.nodes_falsenodeids[at];
    }
    for list in [&mut other.target_treeids, &mut other.target_nodeids, &mut other.target_ids] {
        list.reverse();
    }
    other.target_weights.reverse();
    let (trees, same) = (usual.trees().expect("well made"), other.trees().expect("well made"));
    for row in rows(&usual, USUAL.features as usize, 50, 16).chunks_exact(USUAL.features as usize) {
        assert_eq!(trees.predict(row), same.predict(row));
    }
    check(&other, USUAL.features as usize + 1, 33, 16);
}
