//! Forests for tests, grown from a number: each shape that a layout treats in a way of its own.

use jobcast_forest::{Attributes, Mode};

/// Xorshift64, so that a seed names a forest.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// A number from -1 to 1.
    pub fn unit(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// What trees of a forest look like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub trees: usize,
    pub outputs: usize,
    pub features: u64,
    pub depth: usize,
    /// In 100 inner places, how many end early.
    pub early: u64,
    /// Every level asks the same.
    pub oblivious: bool,
    /// Distinct thresholds of a feature.
    pub thresholds: u64,
    pub modes: &'static [Mode],
    pub missing: bool,
}

/// Grows the forest of a seed.
pub fn grow(shape: Shape, seed: u64) -> Attributes {
    let mut random = Random(seed | 1);
    let mut made = Attributes { n_targets: shape.outputs as i64, ..Attributes::default() };
    for tree in 0..shape.trees {
        tree_of(shape, tree as i64, &mut random, &mut made);
    }
    if shape.outputs == 1 || random.below(2) == 0 {
        made.base_values = (0..shape.outputs).map(|_| random.unit()).collect();
    }
    made
}

fn tree_of(shape: Shape, tree: i64, random: &mut Random, made: &mut Attributes) {
    let levels: Vec<_> = (0..shape.depth).map(|_| test(shape, random)).collect();
    let first = random.below(shape.outputs as u64) as i64;
    let width = 1 + random.below(shape.outputs as u64 - first as u64) as i64;
    let begin = made.nodes_treeids.len();
    // (place of the link to this node, depth)
    let mut open = vec![(None, 0)];
    while let Some((link, depth)) = open.pop() {
        let id = (made.nodes_treeids.len() - begin) as i64;
        match link {
            Some((parent, true)) => made.nodes_truenodeids[begin + parent] = id,
            Some((parent, false)) => made.nodes_falsenodeids[begin + parent] = id,
            None => {}
        }
        let leaf = depth == shape.depth || (!shape.oblivious && random.below(100) < shape.early);
        let (asks, feature, value, way) = if shape.oblivious && !leaf { levels[depth] } else { test(shape, random) };
        made.nodes_treeids.push(tree);
        made.nodes_nodeids.push(id);
        made.nodes_modes.push(if leaf { Mode::Leaf } else { asks });
        made.nodes_featureids.push(if leaf { 0 } else { feature });
        made.nodes_values.push(if leaf { 0.0 } else { value });
        made.nodes_truenodeids.push(0);
        made.nodes_falsenodeids.push(0);
        if shape.missing {
            made.nodes_missing_value_tracks_true.push(way);
        }
        if !leaf {
            open.extend([(Some((id as usize, false)), depth + 1), (Some((id as usize, true)), depth + 1)]);
            continue;
        }
        // The first tree lists every output, as the base values need; others leave some out.
        let listed = if tree == 0 { 0..shape.outputs as i64 } else { first..first + width };
        for output in listed {
            if tree == 0 || output == first || random.below(4) > 0 {
                made.target_treeids.push(tree);
                made.target_nodeids.push(id);
                made.target_ids.push(output);
                made.target_weights.push(random.unit());
            }
        }
    }
}

fn test(shape: Shape, random: &mut Random) -> (Mode, i64, f32, i64) {
    let mode = shape.modes[random.below(shape.modes.len() as u64) as usize];
    let feature = random.below(shape.features) as i64;
    let step = random.below(shape.thresholds) as f32;
    (mode, feature, (step - shape.thresholds as f32 / 2.0) * 0.1, random.below(2) as i64)
}

/// Rows that lie on the forest's thresholds, a float32 to either side of them, at the ends of the line, or are missing.
pub fn rows(attributes: &Attributes, width: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed | 1);
    let nodes = attributes.nodes_values.len() as u64;
    (0..count * width)
        .map(|_| {
            let value = attributes.nodes_values[random.below(nodes) as usize];
            match random.below(12) {
                0 => f32::NAN,
                1 => f32::INFINITY,
                2 => f32::NEG_INFINITY,
                3 => random.unit() * 100.0,
                4 => -0.0,
                5..=7 => value.next_up(),
                8 | 9 => value.next_down(),
                _ => value,
            }
        })
        .collect()
}
