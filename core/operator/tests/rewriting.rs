//! What is rewritten, what is left as it lies, what is refused; and bytes that are no model break nothing.

use jobcast_operator::rewrite;
use proptest::prelude::*;

mod message;

use message::{field, number, varint};

fn ints(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
    field(5, &[field(1, name.as_bytes()), values, number(20, 7)].concat())
}

fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let values: Vec<u8> =
        values.iter().flat_map(|value| [varint(7 << 3 | 5), value.to_le_bytes().to_vec()].concat()).collect();
    field(5, &[field(1, name.as_bytes()), values, number(20, 6)].concat())
}

fn string(name: &str, value: &str) -> Vec<u8> {
    field(5, &[field(1, name.as_bytes()), field(4, value.as_bytes()), number(20, 3)].concat())
}

fn modes(words: [&str; 3]) -> Vec<u8> {
    let words: Vec<u8> = words.iter().flat_map(|word| field(9, word.as_bytes())).collect();
    field(5, &[field(1, b"nodes_modes"), words, number(20, 8)].concat())
}

/// A node that is a stump, with more attributes.
fn stump(more: &[u8], words: [&str; 3]) -> Vec<u8> {
    [
        field(1, b"x"),
        field(2, b"y"),
        field(3, b"the node"),
        field(4, b"TreeEnsembleRegressor"),
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        modes(words),
        floats("nodes_values", &[1.0, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[10.0, 20.0]),
        field(5, &[field(1, b"n_targets"), number(3, 1), number(20, 2)].concat()),
        more.to_vec(),
        field(7, b"ai.onnx.ml"),
    ]
    .concat()
}

const WORDS: [&str; 3] = ["BRANCH_LEQ", "LEAF", "LEAF"];

fn model(node: &[u8]) -> Vec<u8> {
    let graph = [field(1, &field(4, b"Identity")), field(1, node), field(2, b"name")].concat();
    let opset = [field(1, b"ai.onnx.ml"), number(2, 3)].concat();
    [number(1, 10), field(7, &graph), field(8, &opset)].concat()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_ensemble_is_replaced_and_all_else_stays() {
    let rewritten = rewrite(&model(&stump(&[], WORDS))).expect("it can be");
    let outputs = field(5, &[field(1, b"n_targets"), number(3, 1), number(20, 2)].concat());
    assert_eq!(rewritten.windows(outputs.len()).filter(|part| *part == outputs).count(), 2); // in `ensemble`, and beside it
    for kept in [&field(1, &field(4, b"Identity")), &ints("nodes_truenodeids", &[1, 0, 0]), &field(3, b"the node")] {
        assert!(holds(&rewritten, kept));
    }
    let opset = field(8, &[field(1, b"jobcast"), number(2, 1)].concat());
    for new in [&field(4, b"Forest"), &field(7, b"jobcast"), &field(1, b"ensemble"), &opset] {
        assert!(holds(&rewritten, new));
    }
    assert!(!holds(&rewritten, b"TreeEnsembleRegressor"));
}

#[test]
fn a_model_without_an_ensemble_comes_back() {
    let other = model(&[field(4, b"TreeEnsembleRegressor"), field(7, b"elsewhere")].concat());
    assert_eq!(rewrite(&other).expect("it is a model"), other);
}

#[test]
fn what_is_not_compiled_is_refused() {
    let cases = [
        (stump(&string("aggregate_function", "AVERAGE"), WORDS), "aggregate_function must be SUM, got AVERAGE"),
        (stump(&string("post_transform", "LOGISTIC"), WORDS), "post_transform must be NONE, got LOGISTIC"),
        (stump(&string("nodes_values_as_tensor", ""), WORDS), "attribute nodes_values_as_tensor is not compiled"),
        (stump(&[], ["BRANCH_EQ", "LEAF", "LEAF"]), "nodes_modes: BRANCH_EQ is not compiled"),
        (stump(&floats("base_values", &[1.0, 2.0]), WORDS), "base_values must be none or 1, got 2"),
        (stump(&ints("nodes_treeids", &[0]), WORDS), "nodes_nodeids must have 1 values"),
    ];
    for (node, message) in cases {
        let refusal = rewrite(&model(&node)).expect_err(message).to_string();
        assert!(refusal.contains(message), "{refusal}");
    }
    assert!(rewrite(&stump(&[], WORDS)[1..]).is_err());
}

#[test]
fn a_sum_without_transform_is_what_is_compiled() {
    let more = [string("aggregate_function", "SUM"), string("post_transform", "NONE"), floats("base_values", &[0.5])];
    assert!(rewrite(&model(&stump(&more.concat(), WORDS))).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _ = rewrite(&bytes);
    }

    #[test]
    fn a_model_with_any_byte_changed(place: prop::sample::Index, byte: u8) {
        let mut bytes = model(&stump(&[], WORDS));
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = rewrite(&bytes);
    }
}
