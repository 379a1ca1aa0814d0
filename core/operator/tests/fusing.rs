//! What is fused, what stays, and that bytes that are no model break nothing.

use jobcast_operator::fuse;
use proptest::prelude::*;

mod message;

use message::{field, number, varint};

const FLOAT: u64 = 1;

fn node(operator: &str, inputs: &[&str], outputs: &[&str], more: &[u8]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    let outputs: Vec<u8> = outputs.iter().flat_map(|name| field(2, name.as_bytes())).collect();
    field(1, &[inputs, outputs, field(4, operator.as_bytes()), more.to_vec()].concat())
}

/// A float value `[N, width]`, or `[N, 1, ...]` of the sizes.
fn value(place: u64, name: &str, sizes: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = sizes.iter().flat_map(|&size| field(1, &number(1, size))).collect();
    let tensor = [number(1, FLOAT), field(2, &[field(1, &[]), dims].concat())].concat();
    field(place, &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat())
}

/// An input whose rows have a name.
fn named(name: &str, rows: &str) -> Vec<u8> {
    let tensor = [number(1, FLOAT), field(2, &field(1, &field(2, rows.as_bytes())))].concat();
    field(11, &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat())
}

fn constant(name: &str, value: f32) -> Vec<u8> {
    field(5, &[number(1, 1), number(2, FLOAT), field(8, name.as_bytes()), field(9, &value.to_le_bytes())].concat())
}

fn model(opset: u64, nodes: &[Vec<u8>], more: &[u8]) -> Vec<u8> {
    let around = [value(11, "x", &[3]), value(12, "y", &[3]), constant("two", 2.0), more.to_vec()].concat();
    let opset = [field(1, b""), number(2, opset)].concat();
    [number(1, 10), field(7, &[nodes.concat(), around].concat()), field(8, &opset)].concat()
}

/// `y` is `erf(2 x + 2) - 2 - 2`: two operators around one that is not compiled.
fn sandwich() -> [Vec<u8>; 5] {
    [
        node("Mul", &["x", "two"], &["a"], &[]),
        node("Add", &["a", "two"], &["b"], &[]),
        node("Erf", &["b"], &["c"], &[]),
        node("Sub", &["c", "two"], &["d"], &[]),
        node("Sub", &["d", "two"], &["y"], &[]),
    ]
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| window == &part).count()
}

#[test]
fn nodes_below_and_above_one_that_stays_are_fused() {
    let fused = fuse(&model(21, &sandwich(), &[])).expect("it is a model");
    assert_eq!(count(&fused, &field(4, b"Features")), 2);
    assert_eq!(count(&fused, &node("Erf", &["b"], &["c"], &[])), 1);
    assert_eq!(count(&fused, &field(8, &[field(1, b"jobcast"), number(2, 1)].concat())), 1);
}

#[test]
fn models_that_may_mean_something_else_are_refused() {
    let nested = node("Mul", &["x", "two"], &["z"], &field(5, &[field(1, b"body"), field(6, &[])].concat()));
    let cases = [
        model(17, &sandwich(), &[]),
        model(22, &sandwich(), &[]),
        model(21, &[sandwich().concat(), nested], &[]),
        [model(21, &sandwich(), &[]), field(25, &[])].concat(),
        model(21, &sandwich(), &field(15, &[])),
        model(21, &sandwich(), &[named("p", "N"), named("q", "M")].concat()),
    ];
    for model in cases {
        assert!(fuse(&model).expect_err("it is refused").to_string().starts_with("features: "));
    }
    assert!(fuse(b"\x0a\xff").is_err());
}

#[test]
fn rows_of_one_name_are_the_same_rows() {
    let model = model(21, &sandwich(), &[named("p", "N"), named("q", "N")].concat());
    assert_ne!(fuse(&model).expect("it is a model"), model);
}

#[test]
fn a_model_with_nothing_to_fuse_comes_back() {
    let alone = [node("Mul", &["x", "two"], &["y"], &[])];
    let elsewhere = node("Mul", &["x", "two"], &["a"], &field(7, b"elsewhere"));
    let shapeless = [node("Erf", &["w"], &["a"], &[]), node("Mul", &["a", "two"], &["b"], &[])];
    let cases = [
        model(21, &alone, &[]),
        model(21, &[elsewhere, node("Erf", &["a"], &["y"], &[])], &[]),
        model(21, &[shapeless.concat(), node("Mul", &["b", "two"], &["y"], &[])], &[]),
        // A constant that a caller may give anew is no constant.
        model(
            21,
            &[node("Mul", &["x", "two"], &["a"], &[]), node("Mul", &["a", "two"], &["y"], &[])],
            &value(11, "two", &[]),
        ),
    ];
    for model in cases {
        assert_eq!(fuse(&model).expect("it is a model"), model);
    }
}

#[test]
fn a_value_that_the_graph_gives_out_stays_one() {
    let nodes = [node("Mul", &["x", "two"], &["a"], &[]), node("Add", &["a", "two"], &["y"], &[])];
    let fused = fuse(&model(21, &nodes, &value(12, "a", &[3]))).expect("it is a model");
    assert_eq!(count(&fused, &[field(2, b"a"), field(2, b"y")].concat()), 1);
    let hidden = fuse(&model(21, &nodes, &[])).expect("it is a model");
    assert_eq!(count(&hidden, &[field(2, b"a"), field(2, b"y")].concat()), 0);
}

#[test]
fn constants_that_nobody_else_reads_move_into_the_operator() {
    let fused = fuse(&model(21, &sandwich(), &constant("five", 5.0))).expect("it is a model");
    assert_eq!(count(&fused, &constant("two", 2.0)), 2);
    assert_eq!(count(&fused, &constant("five", 5.0)), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _ = fuse(&bytes);
    }

    #[test]
    fn a_model_with_bytes_changed(places: Vec<prop::sample::Index>, bytes: [u8; 4]) {
        let mut model = model(21, &sandwich(), &varint(40));
        for (place, byte) in places.iter().zip(bytes) {
            let place = place.index(model.len());
            model[place] = byte;
        }
        let _ = fuse(&model);
    }

    #[test]
    fn a_model_cut_short(place: prop::sample::Index) {
        let model = model(21, &sandwich(), &[]);
        let _ = fuse(&model[..place.index(model.len())]);
    }
}
