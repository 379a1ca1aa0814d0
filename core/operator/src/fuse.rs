//! Nodes that the program computes, replaced by `jobcast.Features`: one operator below whatever stays with onnxruntime,
//! and one above it.
//!
//! A value's level is the number of nodes that stay with onnxruntime on the longest way to it. All compiled nodes of one
//! level become one operator. A way that leaves them comes back only through a node that stays, and so at a higher level:
//! there are no cycles, whatever the graph.

use std::collections::{BTreeMap, HashMap, HashSet};

use jobcast_feature::{Attribute, Builder, Kind, Program, Slot};

use crate::DOMAIN;
use crate::declared::put_declared;
use crate::group::Operator;
use crate::node::OUTPUTS;
use crate::onnx::{Found, Graph, graph, opsets, tensor};
use crate::rewrite::Refusal;
use crate::wire::{Field, Malformed, fields, put_bytes};

/// Name of the attribute that holds the nodes, as bytes of a graph.
pub(crate) const GRAPH: &str = "graph";

/// Sets of operators that the program knows: what changed before or changes behind is not compiled.
const OPSETS: std::ops::RangeInclusive<i64> = 18..=21;
const ML_OPSETS: std::ops::RangeInclusive<i64> = 2..=3;

/// Numbers of fields of `onnx.ModelProto`.
const MODEL_GRAPH: u64 = 7;
const MODEL_FUNCTIONS: u64 = 25;

/// The graph of a model with what can be replaced; `None` when that is nothing.
///
/// # Errors
/// The bytes are no model, or the model is one whose nodes may mean something else.
pub(crate) fn fuse(model: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let (mut found, mut functions) = (None, false);
    for field in fields(model) {
        match field? {
            Field { number: MODEL_GRAPH, value, .. } if found.is_none() => found = Some(value.bytes()?),
            Field { number: MODEL_GRAPH, .. } => return Err(Malformed.into()),
            Field { number: MODEL_FUNCTIONS, .. } => functions = true,
            _ => {}
        }
    }
    let bytes = found.ok_or(Malformed)?;
    let graph = Graph::read(bytes)?;
    let sets = opsets(model)?;
    if !sets.get("").is_none_or(|version| OPSETS.contains(version))
        || !sets.get("ai.onnx.ml").is_none_or(|version| ML_OPSETS.contains(version))
    {
        return Err(Refusal::new("features: the sets of operators are not known"));
    }
    if functions || graph.sparse || graph.nodes.iter().any(|found| found.nested) {
        return Err(Refusal::new("features: the model has functions, sparse constants or graphs within nodes"));
    }
    let names: HashSet<&str> = graph.inputs.iter().map(|input| input.rows).filter(|rows| !rows.is_empty()).collect();
    if names.len() > 1 {
        return Err(Refusal::new("features: the inputs have different numbers of rows"));
    }
    Ok(Plan::new(&graph)?.written(bytes, &graph))
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The same for every row: copied to whoever asks.
    Constant,
    /// Compiled, at its level.
    Compiled(usize),
    /// Stays with onnxruntime; its outputs are of the level.
    Stays(usize),
}

/// What becomes of a graph.
pub(crate) struct Plan {
    pub fates: Vec<Fate>,
    /// Types and shapes of the values that are `[N, dims]`.
    pub slots: HashMap<String, Slot>,
    /// Values that are the same for every row.
    pub constants: HashSet<String>,
}

impl Plan {
    fn new(graph: &Graph) -> Result<Self, Refusal> {
        let mut builder = Builder::new();
        let given: HashSet<&str> = graph.inputs.iter().map(|input| input.name).collect();
        for (name, bytes) in &graph.initializers {
            // A constant that is an input too may be given anew for each run.
            if let Some(tensor) = tensor(bytes)?.filter(|_| !given.contains(name)) {
                builder.constant(name, tensor).map_err(|refusal| Refusal::new(refusal.0))?;
            }
        }
        for input in &graph.inputs {
            let overridable = graph.initializers.iter().any(|(name, _)| *name == input.name);
            if let Some((kind, dims)) = input.slot.as_ref().filter(|_| !overridable) {
                drop(builder.input(input.name, *kind, dims));
            }
        }
        let alive = alive(graph);
        let mut plan = Self { fates: Vec::new(), slots: HashMap::new(), constants: HashSet::new() };
        let mut levels: HashMap<&str, usize> = HashMap::new();
        for (found, &alive) in graph.nodes.iter().zip(&alive) {
            let level = found.node.inputs.iter().filter_map(|name| levels.get(name.as_str())).max();
            let level = level.copied().unwrap_or(0);
            let fate = if alive { fate(&mut builder, found, level) } else { Fate::Stays(level + 1) };
            plan.fates.push(fate);
            for name in &found.node.outputs {
                match fate {
                    Fate::Constant => {}
                    Fate::Compiled(level) | Fate::Stays(level) => drop(levels.insert(name, level)),
                }
            }
        }
        let names = graph.inputs.iter().map(|input| input.name);
        let made = graph.nodes.iter().flat_map(|found| found.node.outputs.iter().map(String::as_str));
        for name in names.chain(made).chain(graph.initializers.iter().map(|(name, _)| *name)) {
            if let Some(slot) = builder.slot(name) {
                plan.slots.insert(name.to_owned(), slot);
            } else if builder.is_constant(name) {
                plan.constants.insert(name.to_owned());
            }
        }
        Ok(plan)
    }

    /// The graph, rewritten.
    fn written(mut self, bytes: &[u8], graph: &Graph) -> Option<Vec<u8>> {
        let compiled = self.fates.iter().filter_map(|fate| match fate {
            Fate::Compiled(level) => Some(*level),
            _ => None,
        });
        let mut groups: BTreeMap<usize, Operator> = BTreeMap::new();
        for level in compiled.collect::<std::collections::BTreeSet<_>>() {
            if let Some(operator) = self.operator(graph, level) {
                groups.insert(level, operator);
            }
        }
        if groups.is_empty() {
            return None;
        }
        for fate in &mut self.fates {
            // A level that became no operator stays; its values keep their level.
            if let Fate::Compiled(level) = fate
                && !groups.contains_key(level)
            {
                *fate = Fate::Stays(*level);
            }
        }
        Some(self.put(bytes, graph, &groups))
    }

    fn put(&self, bytes: &[u8], graph: &Graph, groups: &BTreeMap<usize, Operator>) -> Vec<u8> {
        let mut read: HashSet<&str> = graph.outputs.iter().copied().collect();
        let staying = graph.nodes.iter().zip(&self.fates).filter(|(_, fate)| matches!(fate, Fate::Stays(_)));
        read.extend(staying.flat_map(|(found, _)| found.node.inputs.iter().map(String::as_str)));
        // Constants made by nodes, the last first, since they may be made of each other.
        let mut kept = vec![false; graph.nodes.len()];
        for (at, (found, fate)) in graph.nodes.iter().zip(&self.fates).enumerate().rev() {
            kept[at] = match fate {
                Fate::Constant => found.node.outputs.iter().any(|name| read.contains(name.as_str())),
                Fate::Stays(_) => true,
                Fate::Compiled(_) => false,
            };
            if kept[at] && *fate == Fate::Constant {
                read.extend(found.node.inputs.iter().map(String::as_str));
            }
        }
        let mut out = Vec::with_capacity(bytes.len());
        for field in fields(bytes).flatten() {
            let unread = |name: Option<&str>| name.is_some_and(|name| !read.contains(name));
            match field.number {
                graph::NODE => {}
                graph::INITIALIZER if unread(initializer_name(&field)) => {}
                _ => out.extend_from_slice(field.bytes),
            }
        }
        let last = self.fates.iter().map(|fate| match fate {
            Fate::Constant => 0,
            Fate::Compiled(level) | Fate::Stays(level) => *level,
        });
        for level in 0..=last.max().unwrap_or(0) {
            for (at, found) in graph.nodes.iter().enumerate().filter(|(at, _)| kept[*at]) {
                let first = level == 0 && self.fates[at] == Fate::Constant;
                if first || self.fates[at] == Fate::Stays(level) {
                    put_bytes(&mut out, graph::NODE, found.bytes);
                }
            }
            if let Some(operator) = groups.get(&level) {
                put_bytes(&mut out, graph::NODE, &operator.node);
                let unknown = |name: &str| !graph.values.contains(&name) && !graph.outputs.contains(&name);
                for (name, slot) in operator.outputs.iter().filter(|(name, _)| unknown(name)) {
                    put_declared(&mut out, graph::VALUE, name, slot.kind, &slot.dims);
                }
            }
        }
        out
    }
}

fn initializer_name<'a>(field: &Field<'a>) -> Option<&'a str> {
    let bytes = field.value.bytes().ok()?;
    let found = fields(bytes).flatten().filter(|field| field.number == 8).last()?;
    found.value.text().ok()
}

/// Nodes that an output of the graph depends on.
fn alive(graph: &Graph) -> Vec<bool> {
    let mut read: HashSet<&str> = graph.outputs.iter().copied().collect();
    let mut alive = vec![false; graph.nodes.len()];
    for (found, alive) in graph.nodes.iter().zip(&mut alive).rev() {
        *alive = found.node.outputs.iter().any(|name| read.contains(name.as_str()));
        if *alive {
            read.extend(found.node.inputs.iter().map(String::as_str));
        }
    }
    alive
}

fn fate(builder: &mut Builder, found: &Found, level: usize) -> Fate {
    if let (Some(constant), [name]) = (&found.constant, &found.node.outputs[..])
        && builder.constant(name, constant.clone()).is_ok()
    {
        return Fate::Constant;
    }
    if builder.node(&found.node).is_ok() {
        let constant = found.node.outputs.iter().all(|name| builder.is_constant(name));
        return if constant { Fate::Constant } else { Fate::Compiled(level) };
    }
    if let (Some(slot), [name, ..]) = (shape_of(builder, found), &found.node.outputs[..]) {
        drop(builder.input(name, slot.kind, &slot.dims));
    }
    Fate::Stays(level + 1)
}

/// Type and shape of the first output of a node that stays, where they are plain.
fn shape_of(builder: &Builder, found: &Found) -> Option<Slot> {
    let node = &found.node;
    let of = builder.slot(node.inputs.first()?);
    match (node.domain.as_str(), node.operator.as_str()) {
        ("", "Exp" | "Log" | "Sigmoid" | "Tanh" | "Erf") => of,
        ("ai.onnx.ml", "TreeEnsembleRegressor") | (DOMAIN, "Forest") => {
            let Some(Attribute::Int(outputs)) = node.attributes.get(OUTPUTS) else { return None };
            of.filter(|slot| slot.dims.len() == 1)?;
            Some(Slot { kind: Kind::Float, dims: vec![usize::try_from(*outputs).ok()?] })
        }
        _ => None,
    }
}

/// Compiles the nodes of an operator, and counts them.
///
/// # Errors
/// They are not what `fuse` writes.
pub(crate) fn compile(inner: &[u8]) -> Result<(Program, usize), Refusal> {
    let refused = |refusal: jobcast_feature::Refusal| Refusal::new(refusal.0);
    let graph = Graph::read(inner)?;
    let mut builder = Builder::new();
    for (name, bytes) in &graph.initializers {
        let tensor = tensor(bytes)?.ok_or(Malformed)?;
        builder.constant(name, tensor).map_err(refused)?;
    }
    for input in &graph.inputs {
        let (kind, dims) = input.slot.as_ref().ok_or(Malformed)?;
        builder.input(input.name, *kind, dims).map_err(refused)?;
    }
    let count = graph.nodes.len();
    for found in graph.nodes {
        match (found.constant, &found.node.outputs[..]) {
            (Some(constant), [name]) => builder.constant(name, constant),
            _ => builder.node(&found.node),
        }
        .map_err(refused)?;
    }
    Ok((builder.finish(&graph.outputs).map_err(refused)?, count))
}
