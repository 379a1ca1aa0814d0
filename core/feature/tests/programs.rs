//! Programs against plain arithmetic, what is refused, and that no node makes the builder panic.

use std::collections::BTreeMap;

use jobcast_feature::{Attribute, Builder, Data, Fault, In, Kind, Node, Out, Space, Tensor};
use proptest::prelude::*;

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Node { operator: operator.to_owned(), inputs: texts(inputs), outputs: texts(outputs), ..Node::default() }
}

fn with(mut node: Node, attributes: &[(&str, Attribute)]) -> Node {
    let named = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    node.attributes = named.collect::<BTreeMap<_, _>>();
    node
}

fn longs(values: &[i64]) -> Tensor {
    Tensor { dims: vec![values.len()], data: Data::Long(values.to_vec()) }
}

fn doubles(dims: &[usize], values: &[f64]) -> Tensor {
    Tensor { dims: dims.to_vec(), data: Data::Double(values.to_vec()) }
}

/// Runs a program of one float64 input `x` and one float64 output `y`.
fn run(builder: Builder, rows: usize, x: &[f64]) -> Result<Vec<f64>, Fault> {
    let program = builder.finish(&["y"]).expect("it compiles");
    let mut y = vec![0.0; rows * program.outputs()[0].width()];
    let mut space = Space::new(&program, rows == 1);
    program.run(rows, &[In::Double(x)], &mut [Out::Double(&mut y)], &mut space)?;
    Ok(y)
}

fn start(width: usize) -> Builder {
    let mut builder = Builder::new();
    builder.input("x", Kind::Double, &[width]).expect("it is new");
    builder
}

#[test]
fn columns_nobody_reads_are_not_computed() {
    let mut builder = start(4);
    builder.constant("c", doubles(&[1, 4], &[1.0, 2.0, 3.0, 4.0])).expect("it is new");
    builder.constant("at", longs(&[2, -1])).expect("it is new");
    builder.node(&node("Sqrt", &["x"], &["unused"])).expect("it compiles");
    builder.node(&node("Mul", &["x", "c"], &["m"])).expect("it compiles");
    builder.node(&with(node("Gather", &["m", "at"], &["y"]), &[("axis", Attribute::Int(1))])).expect("it compiles");
    let program = builder.clone().finish(&["y"]).expect("it compiles");
    assert_eq!((program.instructions(), program.registers()), (1, 6));
    assert_eq!(run(builder, 2, &[1.0; 8]), Ok(vec![3.0, 4.0, 3.0, 4.0]));
}

#[test]
fn an_axis_that_is_there_twice_is_refused() {
    for (axes, good) in
        [(&[1, 3][..], true), (&[3, 1], true), (&[3, -1], false), (&[3, -1, -1], false), (&[2, 2], false)]
    {
        let mut builder = start(2);
        builder.constant("axes", longs(axes)).expect("it is new");
        assert_eq!(builder.node(&node("Unsqueeze", &["x", "axes"], &["y"])).is_ok(), good, "{axes:?}");
    }
}

#[test]
fn an_index_out_of_its_table_is_a_fault_even_if_nobody_reads_it() {
    for wanted in ["y", "z"] {
        let mut builder = start(1);
        builder.constant("table", doubles(&[2, 1], &[5.0, 6.0])).expect("it is new");
        builder.node(&with(node("Cast", &["x"], &["i"]), &[("to", Attribute::Int(7))])).expect("it compiles");
        builder.node(&node("Gather", &["table", "i"], &[if wanted == "y" { "y" } else { "u" }])).expect("it compiles");
        if wanted == "z" {
            builder.node(&node("Neg", &["x"], &["y"])).expect("it compiles");
        }
        assert!(run(builder.clone(), 3, &[0.0, 1.0, -1.0]).is_ok());
        assert_eq!(run(builder, 1, &[2.0]), Err(Fault("index 2 is out of a table of 2 rows".to_owned())));
    }
}

#[test]
fn what_does_not_fit_is_a_fault() {
    let mut builder = start(2);
    builder.node(&node("Neg", &["x"], &["y"])).expect("it compiles");
    let program = builder.finish(&["y"]).expect("it compiles");
    let mut space = Space::new(&program, false);
    let fault = Err(Fault("inputs and outputs do not fit the program".to_owned()));
    let mut room = [0.0; 2];
    assert_eq!(program.run(1, &[In::Double(&[1.0])], &mut [Out::Double(&mut room)], &mut space), fault);
    assert_eq!(program.run(1, &[In::Float(&[1.0; 2])], &mut [Out::Double(&mut room)], &mut space), fault);
    assert_eq!(program.run(1, &[In::Double(&[1.0; 2])], &mut [], &mut space), fault);
    assert_eq!(program.run(2, &[In::Double(&[1.0; 4])], &mut [Out::Double(&mut room)], &mut space), fault);
}

#[test]
fn what_is_not_known_to_be_equal_is_refused() {
    let mut builder = start(3);
    builder.input("h", Kind::Double, &[2, 3]).expect("it is new");
    builder.input("i", Kind::Long, &[3]).expect("it is new");
    builder.input("w", Kind::Double, &[1]).expect("it is new");
    builder.constant("zero", longs(&[0])).expect("it is new");
    builder.constant("rows", doubles(&[3, 1], &[1.0; 3])).expect("it is new");
    builder.constant("one", doubles(&[1], &[0.0])).expect("it is new");
    let axis = |value| ("axis", Attribute::Int(value));
    let cases = [
        (node("Div", &["i", "zero"], &["y"]), "Div: Long is not compiled"),
        (node("Div", &["i", "i"], &["y"]), "Div: Long is not compiled"),
        (node("Add", &["x", "rows"], &["y"]), "Add: shapes do not fit each other"),
        (node("Add", &["x", "h"], &["y"]), "Add: shapes do not fit each other"),
        (node("Add", &["x", "i"], &["y"]), "Add: inputs are of different types"),
        (node("Add", &["x", "nowhere"], &["y"]), "Add: nowhere is not known"),
        (node("Add", &["x", ""], &["y"]), "Add: it must have 2 inputs"),
        (node("Add", &["one", "rows"], &["y"]), "Add: it is the same for every row"),
        (node("Clip", &["x", "one", "one"], &["y"]), "Clip: only constant bounds other than zero are compiled"),
        (node("ReduceSum", &["h", "zero"], &["y"]), "ReduceSum: axis 0 is not compiled"),
        (with(node("Concat", &["x", "x"], &["y"]), &[axis(0)]), "Concat: axis 0 is not compiled"),
        (with(node("Neg", &["x"], &["y"]), &[axis(0)]), "Neg: attribute axis is not compiled"),
        (node("Exp", &["x"], &["y"]), "Exp: it is not compiled"),
        (node("Neg", &["x"], &["w"]), "Neg: an output is there already"),
        (node("Neg", &["x"], &["y", "z"]), "Neg: it has more outputs than are compiled"),
    ];
    for (node, message) in cases {
        assert_eq!(builder.node(&node).expect_err(message).to_string(), message);
    }
    assert!(builder.clone().finish(&["zero"]).is_err());
    assert!(builder.finish(&["y"]).is_err());
}

/// Sums in Rust's own order, for rows so short that no other order is possible.
#[test]
fn a_row_is_added_up_where_it_lies() {
    let mut builder = start(2);
    builder.constant("last", longs(&[-1])).expect("it is new");
    builder.node(&node("ReduceSum", &["x", "last"], &["y"])).expect("it compiles");
    assert_eq!(run(builder, 2, &[1.0, 2.0, 0.1, 0.2]), Ok(vec![3.0, 0.1 + 0.2]));
}

const OPERATORS: [&str; 24] = [
    "Add",
    "Div",
    "Mod",
    "Min",
    "Equal",
    "And",
    "Not",
    "Cast",
    "Where",
    "Clip",
    "Concat",
    "Gather",
    "Reshape",
    "Unsqueeze",
    "Squeeze",
    "Transpose",
    "ReduceSum",
    "TopK",
    "CumSum",
    "ArgMin",
    "GatherElements",
    "StringSplit",
    "RegexFullMatch",
    "Identity",
];
const NAMES: [&str; 10] = ["x", "f", "h", "i", "b", "t", "ints", "table", "text", ""];

fn attribute() -> impl Strategy<Value = Attribute> {
    prop_oneof![
        (-3_i64..12).prop_map(Attribute::Int),
        any::<i64>().prop_map(Attribute::Int),
        prop::collection::vec(-2_i64..4, 0..4).prop_map(Attribute::Ints),
        prop_oneof![Just("[0-9]{1,9}"), Just(","), Just("(a|b)*")].prop_map(|it| Attribute::Text(it.into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_node(
        nodes in prop::collection::vec(
            (
                prop::sample::select(&OPERATORS[..]),
                prop::collection::vec(prop::sample::select(&NAMES[..]), 0..4),
                prop::collection::vec(
                    (prop::sample::select(&["axis", "to", "perm", "keepdims", "delimiter", "pattern"][..]), attribute()),
                    0..3,
                ),
            ),
            1..8,
        ),
        ints in prop::collection::vec(-2_i64..5, 0..4),
        rows in 0_usize..4,
    ) {
        let mut builder = Builder::new();
        for (name, kind, dims) in [
            ("x", Kind::Double, &[3][..]),
            ("f", Kind::Float, &[3]),
            ("h", Kind::Double, &[2, 5]),
            ("i", Kind::Long, &[3]),
            ("b", Kind::Bool, &[3]),
            ("t", Kind::Text, &[2]),
        ] {
            builder.input(name, kind, dims).unwrap();
        }
        builder.constant("ints", longs(&ints)).unwrap();
        builder.constant("table", doubles(&[2, 2], &[1.0, 2.0, 3.0, 4.0])).unwrap();
        builder.constant("text", Tensor { dims: vec![], data: Data::Text(vec![b"a".to_vec()]) }).unwrap();
        let mut made = Vec::new();
        for (at, (operator, inputs, attributes)) in nodes.iter().enumerate() {
            let names = [format!("v{at}"), format!("w{at}")];
            let count = 1 + usize::from(*operator == "TopK");
            let outputs: Vec<&str> = names[..count].iter().map(String::as_str).collect();
            let node = with(node(operator, inputs, &outputs), attributes);
            if builder.node(&node).is_ok() {
                made.extend(names.into_iter().take(count));
            }
        }
        let plain = |name: &&String| builder.slot(name).is_some_and(|slot| slot.kind != Kind::Text);
        let wanted: Vec<String> = made.iter().filter(plain).cloned().collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let program = builder.finish(&wanted).unwrap();
        let (x, f, h, i, b) = (vec![1.5; rows * 3], vec![0.5; rows * 3], vec![2.0; rows * 10], vec![1; rows * 3], vec![2_u8; rows * 3]);
        let starts: Vec<usize> = (0..rows * 2).map(|at| at * 2).collect();
        let bytes = b"a,".repeat(rows * 2);
        let inputs = [In::Double(&x), In::Float(&f), In::Double(&h), In::Long(&i), In::Bool(&b), In::Text(&bytes, &starts)];
        for single in [false, true] {
            let mut room = program
                .outputs()
                .iter()
                .map(|slot| {
                    let size = slot.width() * rows;
                    (slot.kind, vec![0_f32; size], vec![0_f64; size], vec![0_i64; size], vec![0_u8; size])
                })
                .collect::<Vec<_>>();
            let mut outputs: Vec<Out> = room
                .iter_mut()
                .map(|(kind, floats, doubles, longs, bools)| match kind {
                    Kind::Float => Out::Float(floats),
                    Kind::Double => Out::Double(doubles),
                    Kind::Long => Out::Long(longs),
                    _ => Out::Bool(bools),
                })
                .collect();
            let _ = program.run(rows, &inputs, &mut outputs, &mut Space::new(&program, single));
        }
    }
}
