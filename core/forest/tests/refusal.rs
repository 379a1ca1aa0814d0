//! Arrays that break a rule are refused by name, and nothing is guessed.

use jobcast_forest::{Attributes, Forest, Mode};

/// `x0 <= 1` to 10 or 20.
fn stump() -> Attributes {
    Attributes {
        nodes_treeids: vec![0, 0, 0],
        nodes_nodeids: vec![0, 1, 2],
        nodes_featureids: vec![0, 0, 0],
        nodes_modes: vec![Mode::Leq, Mode::Leaf, Mode::Leaf],
        nodes_values: vec![1.0, 0.0, 0.0],
        nodes_truenodeids: vec![1, 0, 0],
        nodes_falsenodeids: vec![2, 0, 0],
        nodes_missing_value_tracks_true: vec![],
        target_treeids: vec![0, 0],
        target_nodeids: vec![1, 2],
        target_ids: vec![0, 0],
        target_weights: vec![10.0, 20.0],
        base_values: vec![],
        n_targets: 1,
    }
}

fn refused(change: impl FnOnce(&mut Attributes)) -> String {
    let mut attributes = stump();
    change(&mut attributes);
    attributes.trees().err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_stump_answers() {
    let forest = Forest::compile(&stump()).expect("well made");
    let mut out = [0.0; 3];
    forest.predict(&[1.0, 1.0_f32.next_up(), f32::NAN], 1, &mut out).expect("it fits");
    assert_eq!(out.map(f32::to_bits), [10.0_f32, 20.0, 20.0].map(f32::to_bits));
}

#[test]
#[allow(clippy::type_complexity)]
fn broken_rules_are_named() {
    let table: [(&str, Box<dyn FnOnce(&mut Attributes)>); 14] = [
        ("nodes_values must have 3", Box::new(|made| _ = made.nodes_values.pop())),
        ("target_ids must have 2", Box::new(|made| _ = made.target_ids.pop())),
        ("n_targets must be 1 to 4096, got 0", Box::new(|made| made.n_targets = 0)),
        ("target_ids must be 0 to 0, got 1", Box::new(|made| made.target_ids[1] = 1)),
        ("base_values must be none or 1, got 2", Box::new(|made| made.base_values = vec![0.0; 2])),
        ("tree 0: node 1 is there twice", Box::new(|made| made.nodes_nodeids[2] = 1)),
        ("tree 0: node 0 has no child 9", Box::new(|made| made.nodes_truenodeids[0] = 9)),
        ("tree 0: node 0 is the child of two nodes", Box::new(|made| made.nodes_truenodeids[0] = 0)),
        ("tree 0: node 1 is the child of two nodes", Box::new(|made| made.nodes_falsenodeids[0] = 1)),
        (
            "tree 0: leaf 2 has no weight",
            Box::new(|made| {
                for list in [&mut made.target_treeids, &mut made.target_nodeids, &mut made.target_ids] {
                    list.pop();
                }
                made.target_weights.pop();
            }),
        ),
        ("target 1: tree 0 node 0 is no leaf", Box::new(|made| made.target_nodeids[1] = 0)),
        ("target 1: tree 0 has no node 7", Box::new(|made| made.target_nodeids[1] = 7)),
        ("node 0 compares with NaN", Box::new(|made| made.nodes_values[0] = f32::NAN)),
        ("nodes_featureids must not be negative, got -1", Box::new(|made| made.nodes_featureids[0] = -1)),
    ];
    for (message, change) in table {
        let found = refused(change);
        assert!(found.contains(message), "wanted {message:?}, found {found:?}");
    }
    let twice = refused(|made| {
        made.target_treeids.push(0);
        made.target_nodeids.push(1);
        made.target_ids.push(0);
        made.target_weights.push(1.0);
    });
    assert!(twice.contains("lists an output twice"), "{twice}");
}

#[test]
fn a_base_that_is_added_only_sometimes_is_refused() {
    let sometimes = refused(|made| {
        made.n_targets = 2;
        made.target_ids[1] = 1;
        made.base_values = vec![0.0, 3.0];
    });
    assert!(sometimes.contains("output 1 has 3"), "{sometimes}");
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let forest = Forest::compile(&stump()).expect("well made");
    let mut out = [0.0; 2];
    assert!(forest.predict(&[], 0, &mut out).is_err());
    assert!(forest.predict(&[1.0; 3], 2, &mut out[..1]).is_err());
    assert!(forest.predict(&[1.0; 3], 1, &mut out).is_err());
}
