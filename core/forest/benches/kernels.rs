//! Three forests of 500 trees of depth 8 in one, a third of it oblivious: one row and 256, by every kernel.
#![allow(missing_docs)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

#[path = "../tests/shape/mod.rs"]
mod shape;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jobcast_forest::{Attributes, Forest, Kernel, Mode, Plan};
use shape::{Shape, grow, rows};

const FEATURES: u64 = 40;

fn model() -> Attributes {
    let shape = Shape {
        trees: 500,
        outputs: 1,
        features: FEATURES,
        depth: 8,
        early: 0,
        oblivious: false,
        thresholds: 250,
        modes: &[Mode::Leq],
        missing: true,
    };
    let mut whole = grow(shape, 1);
    for (seed, oblivious) in [(2, false), (3, true)] {
        let part = grow(Shape { oblivious, ..shape }, seed);
        let first = whole.nodes_treeids.last().map_or(0, |last| last + 1);
        whole.nodes_treeids.extend(part.nodes_treeids.iter().map(|tree| tree + first));
        whole.target_treeids.extend(part.target_treeids.iter().map(|tree| tree + first));
        whole.nodes_nodeids.extend(part.nodes_nodeids);
        whole.nodes_featureids.extend(part.nodes_featureids);
        whole.nodes_modes.extend(part.nodes_modes);
        // Every library has thresholds of its own.
        let shift = seed as f32 * 0.01;
        whole.nodes_values.extend(part.nodes_values.iter().map(|value| value + shift));
        whole.nodes_truenodeids.extend(part.nodes_truenodeids);
        whole.nodes_falsenodeids.extend(part.nodes_falsenodeids);
        whole.nodes_missing_value_tracks_true.extend(part.nodes_missing_value_tracks_true);
        whole.target_nodeids.extend(part.target_nodeids);
        whole.target_ids.extend(part.target_ids);
        whole.target_weights.extend(part.target_weights);
    }
    whole
}

fn kernels(criterion: &mut Criterion) {
    let attributes = model();
    let forest = Forest::compile(&attributes).expect("the model is well made");
    println!("{}", forest.report());
    let width = FEATURES as usize;
    let batch = rows(&attributes, width, 256, 5);
    let mut out = vec![0.0; 256];
    for (count, block) in [(1, 1), (256, 8), (256, 32), (256, 128)] {
        let mut group = criterion.benchmark_group(format!("{count} rows in blocks of {block}"));
        group.throughput(Throughput::Elements(count as u64));
        for kernel in Kernel::available() {
            group.bench_function(kernel.name(), |bencher| {
                bencher.iter(|| {
                    let rows = black_box(&batch[..count * width]);
                    forest.predict_with(Plan { kernel, block }, rows, width, &mut out[..count]).expect("it runs here");
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(700));
    targets = kernels
}
criterion_main!(benches);
