//! The compiled nodes of one level as one `jobcast.Features` node.

use std::collections::HashSet;

use jobcast_feature::{Kind, Slot};

use crate::declared::put_declared;
use crate::fuse::{Fate, GRAPH, Plan, compile};
use crate::onnx::{Found, Graph, TYPE_TEXT, graph, node};
use crate::wire::{put_bytes, put_number};
use crate::{DOMAIN, FEATURES};

/// Fewest nodes that are worth an operator.
const FEWEST: usize = 2;

impl Plan {
    /// The operator of a level; `None` when it is not worth it or does not compile.
    pub(crate) fn operator(&self, graph: &Graph, level: usize) -> Option<Operator> {
        let members: Vec<&Found> = graph
            .nodes
            .iter()
            .zip(&self.fates)
            .filter_map(|(found, fate)| (*fate == Fate::Compiled(level)).then_some(found))
            .collect();
        if members.len() < FEWEST {
            return None;
        }
        let names = |found: &Found, outputs: bool| {
            let names = if outputs { &found.node.outputs } else { &found.node.inputs };
            names.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>()
        };
        let made: HashSet<String> = members.iter().flat_map(|found| names(found, true)).collect();
        let mut elsewhere: HashSet<String> = graph.outputs.iter().map(|&name| name.to_owned()).collect();
        let others = graph.nodes.iter().zip(&self.fates).filter(|(_, fate)| **fate != Fate::Compiled(level));
        elsewhere.extend(others.flat_map(|(found, _)| names(found, false)));
        let (mut inputs, mut constants): (Vec<(String, Slot)>, HashSet<String>) = (Vec::new(), HashSet::new());
        for name in members.iter().flat_map(|found| names(found, false)) {
            if self.constants.contains(&name) {
                constants.insert(name);
            } else if !made.contains(&name) && inputs.iter().all(|(known, _)| *known != name) {
                let slot = self.slots.get(&name)?.clone();
                inputs.push((name, slot));
            }
        }
        let mut outputs = Vec::new();
        for name in members.iter().flat_map(|found| names(found, true)).filter(|name| elsewhere.contains(name)) {
            let slot = self.slots.get(&name).filter(|slot| slot.kind != Kind::Text)?.clone();
            outputs.push((name, slot));
        }
        let inner = self.inner(graph, &members, constants, &inputs, &outputs);
        let (program, _) = compile(&inner).ok()?;
        let kept = program.outputs().iter().eq(outputs.iter().map(|(_, slot)| slot));
        (kept && !inputs.is_empty()).then(|| Operator { node: node_bytes(level, &inputs, &outputs, &inner), outputs })
    }

    /// The nodes of an operator as bytes of a graph, with the constants that they read.
    fn inner(
        &self,
        graph: &Graph,
        members: &[&Found],
        mut constants: HashSet<String>,
        inputs: &[(String, Slot)],
        outputs: &[(String, Slot)],
    ) -> Vec<u8> {
        let mut makers = Vec::new();
        for (found, fate) in graph.nodes.iter().zip(&self.fates).rev() {
            if *fate == Fate::Constant && found.node.outputs.iter().any(|name| constants.contains(name)) {
                constants.extend(found.node.inputs.iter().cloned());
                makers.push(found);
            }
        }
        let mut out = Vec::new();
        for found in makers.iter().rev().chain(members) {
            put_bytes(&mut out, graph::NODE, found.bytes);
        }
        for (_, bytes) in graph.initializers.iter().filter(|(name, _)| constants.contains(*name)) {
            put_bytes(&mut out, graph::INITIALIZER, bytes);
        }
        for (number, slots) in [(graph::INPUT, inputs), (graph::OUTPUT, outputs)] {
            for (name, slot) in slots {
                put_declared(&mut out, number, name, slot.kind, &slot.dims);
            }
        }
        out
    }
}

/// A `jobcast.Features` node.
pub(crate) struct Operator {
    pub node: Vec<u8>,
    pub outputs: Vec<(String, Slot)>,
}

fn node_bytes(level: usize, inputs: &[(String, Slot)], outputs: &[(String, Slot)], inner: &[u8]) -> Vec<u8> {
    let (mut out, mut attribute) = (Vec::new(), Vec::new());
    for (number, slots) in [(node::INPUT, inputs), (node::OUTPUT, outputs)] {
        for (name, _) in slots {
            put_bytes(&mut out, number, name.as_bytes());
        }
    }
    put_bytes(&mut out, node::NAME, format!("{DOMAIN}.{FEATURES}.{level}").as_bytes());
    put_bytes(&mut out, node::OPERATOR, FEATURES.as_bytes());
    put_bytes(&mut attribute, node::ATTRIBUTE_NAME, GRAPH.as_bytes());
    put_bytes(&mut attribute, node::ATTRIBUTE_TEXT, inner);
    put_number(&mut attribute, node::ATTRIBUTE_TYPE, TYPE_TEXT);
    put_bytes(&mut out, node::ATTRIBUTE, &attribute);
    put_bytes(&mut out, node::DOMAIN, DOMAIN.as_bytes());
    out
}
