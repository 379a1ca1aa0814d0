//! Which kernel and block a forest uses: measured once, when it is compiled, on rows that reach all of its splits.

use std::fmt;
use std::time::{Duration, Instant};

use crate::forest::Forest;
use crate::kernel::Kernel;

/// How a batch is computed: `block` rows at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The way to walk trees.
    pub kernel: Kernel,
    /// Rows whose ranks and payloads are held at once.
    pub block: usize,
}

/// A plan and what it took.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The plan.
    pub plan: Plan,
    /// Least time per row, ns.
    pub row_ns: f64,
}

/// What a forest is and how it is computed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Number of trees.
    pub trees: usize,
    /// Those that are oblivious.
    pub oblivious: usize,
    /// Those walked as they came, since they fit no byte ranks.
    pub plain: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Sets of trees with byte ranks of their own.
    pub segments: usize,
    /// Used for one row.
    pub single: Choice,
    /// Used for more rows.
    pub batch: Choice,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trees, oblivious, plain, outputs, segments, single, batch } = self;
        write!(
            formatter,
            "{trees} trees ({oblivious} oblivious, {plain} plain) in {segments} segments, {outputs} outputs; one row {} \
             {:.1} us; batches {} in blocks of {} {:.2} us a row",
            single.plan.kernel.name(),
            single.row_ns / 1e3,
            batch.plan.kernel.name(),
            batch.plan.block,
            batch.row_ns / 1e3,
        )
    }
}

const BLOCKS: [usize; 3] = [8, 32, 128];
const ROWS: usize = 128;
const BUDGET: Duration = Duration::from_millis(2);
const REPEATS: usize = 25;

/// The fastest plans for one row and for more.
pub(crate) fn measure(forest: &Forest) -> (Choice, Choice) {
    let width = forest.features().max(1);
    let rows = forest.sample(ROWS, width);
    let mut out = vec![0.0; ROWS * forest.outputs()];
    let mut time = |plan: Plan, rows: &[f32]| {
        let (begin, mut least) = (Instant::now(), Duration::MAX);
        for _ in 0..REPEATS {
            let start = Instant::now();
            let out = &mut out[..rows.len() / width * forest.outputs()];
            forest.run(plan, rows, width, out);
            least = least.min(start.elapsed());
            if begin.elapsed() > BUDGET {
                break;
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "128 rows at most")]
        let row_ns = least.as_secs_f64() * 1e9 / (rows.len() / width) as f64;
        Choice { plan, row_ns }
    };
    let kernels = Kernel::available();
    let singles: Vec<Choice> = kernels.iter().map(|&kernel| time(Plan { kernel, block: 1 }, &rows[..width])).collect();
    let plans = kernels.iter().flat_map(|&kernel| BLOCKS.map(|block| Plan { kernel, block }));
    let batches: Vec<Choice> = plans.map(|plan| time(plan, &rows)).collect();
    (fastest(&singles), fastest(&batches))
}

fn fastest(choices: &[Choice]) -> Choice {
    let mut best = choices[0];
    for &choice in choices {
        if choice.row_ns < best.row_ns {
            best = choice;
        }
    }
    best
}
