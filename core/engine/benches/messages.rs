//! From bytes to columns, and from outputs to bytes: the engine without onnxruntime's part.
#![allow(missing_docs)]

#[path = "../tests/recorded/mod.rs"]
mod recorded;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jobcast_engine::{parts::Parts, split};
use recorded::recorded;

const NOW: i64 = 1_700_000_000;
const QUANTILES: [f32; 9] = [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0];
const PIECE: usize = 256;

fn messages(criterion: &mut Criterion) {
    let mut parts = Parts::default();
    let mut group = criterion.benchmark_group("decode");
    let single =
        recorded("Predict").into_iter().map(|call| call.bytes).find(|bytes| parts.predict(bytes, NOW).is_some());
    let single = single.expect("a plain one is recorded");
    group.throughput(Throughput::Elements(1));
    group.bench_function("Predict", |bencher| bencher.iter(|| parts.predict(black_box(&single), NOW)));

    let batch =
        recorded("PredictBatch").into_iter().map(|call| call.bytes).filter(|bytes| parts.batch(bytes, NOW).is_some());
    let batch = batch.max_by_key(Vec::len).expect("a plain one is recorded");
    let rows = parts.batch(&batch, NOW).expect("as above");
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("PredictBatch", |bencher| bencher.iter(|| parts.batch(black_box(&batch), NOW)));
    group.bench_function("cutting a batch", |bencher| bencher.iter(|| split(black_box(&batch), PIECE)));

    let tensors =
        recorded("ModelInfer").into_iter().map(|call| call.bytes).filter(|bytes| parts.infer(bytes).is_some());
    let tensors = tensors.max_by_key(Vec::len).expect("a plain one is recorded");
    let rows = parts.infer(&tensors).expect("as above");
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("ModelInfer", |bencher| bencher.iter(|| parts.infer(black_box(&tensors))));
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("PredictResponse", |bencher| {
        bencher.iter(|| parts.answer(black_box(&QUANTILES), 160.0, NOW, b"request-1"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(700));
    targets = messages
}
criterion_main!(benches);
