//! From columns to registers: what nobody reads is left out, and columns that are made together lie together.

use super::{Builder, Column, Origin, Register, Step, Value};
use crate::program::{Instruction, Move, Program, Run, Slot};
use crate::refusal::Refusal;
use crate::tensor::Kind;

/// Numbers of registers within the file of their type.
struct Numbers {
    of: Vec<Option<usize>>,
    kinds: Vec<Kind>,
    next: [usize; 5],
}

impl Numbers {
    fn give(&mut self, register: Register) {
        if self.of[register].is_none() {
            let next = &mut self.next[self.kinds[register] as usize];
            self.of[register] = Some(*next);
            *next += 1;
        }
    }

    fn get(&self, register: Register) -> usize {
        self.of[register].unwrap_or_default()
    }

    fn all(&self, registers: &[Register]) -> Vec<usize> {
        registers.iter().map(|&register| self.get(register)).collect()
    }
}

impl Step {
    fn args(&self) -> Vec<Register> {
        match self {
            Self::Wide { arity, columns, .. } => {
                (0..*arity).flat_map(|at| columns.iter().map(move |column| column.args[at])).collect()
            }
            Self::Pick { index, .. } => vec![*index],
            Self::Label { text, .. }
            | Self::Match { text, .. }
            | Self::Pieces { text, .. }
            | Self::Count { text, .. }
            | Self::Number { text, .. } => vec![*text],
            Self::SameText { one, other, .. } | Self::Join { one, other, .. } => vec![*one, *other],
            Self::Either { condition, one, other, .. } => vec![*condition, *one, *other],
            Self::Largest { text, extra, .. } => vec![*text, *extra],
            Self::Fold { row, .. } | Self::Best { row, .. } | Self::Running { row, .. } | Self::Least { row, .. } => {
                row.clone()
            }
            Self::Choose { row, index, .. } => row.iter().copied().chain([*index]).collect(),
        }
    }

    fn outs(&self) -> Vec<Register> {
        match self {
            Self::Wide { columns, .. } => columns.iter().map(|column| column.out).collect(),
            Self::Pick { picks, .. } | Self::Pieces { picks, .. } => picks.iter().map(|(_, out)| *out).collect(),
            Self::Label { out, .. }
            | Self::Match { out, .. }
            | Self::SameText { out, .. }
            | Self::Join { out, .. }
            | Self::Either { out, .. }
            | Self::Count { out, .. }
            | Self::Largest { out, .. }
            | Self::Number { out, .. }
            | Self::Fold { out, .. }
            | Self::Least { out, .. }
            | Self::Choose { out, .. } => vec![*out],
            Self::Best { values, .. } => values.clone(),
            Self::Running { outs, .. } => outs.clone(),
        }
    }

    /// Leaves out what nobody reads; a lookup that may fail stays for its error.
    fn trimmed(mut self, live: &[bool]) -> Option<Self> {
        match &mut self {
            Self::Wide { columns, .. } => {
                columns.retain(|column| live[column.out]);
                (!columns.is_empty()).then_some(self)
            }
            Self::Pick { picks, .. } => {
                picks.retain(|(_, out)| live[*out]);
                Some(self)
            }
            Self::Pieces { .. } | Self::Choose { .. } => Some(self),
            Self::Best { values, places, .. } => {
                let read = values.iter().chain(&*places).any(|&out| live[out]);
                read.then_some(self)
            }
            _ => self.outs().iter().any(|&out| live[out]).then_some(self),
        }
    }
}

impl Builder {
    /// The program that gives the named values.
    ///
    /// # Errors
    /// A value is not there, is the same for every row, or is of texts.
    pub fn finish(self, outputs: &[&str]) -> Result<Program, Refusal> {
        let mut wanted = Vec::new();
        for &name in outputs {
            match self.values.get(name) {
                Some(Value::Columns { kind, dims, columns }) if *kind != Kind::Text => {
                    wanted.push((Slot { kind: *kind, dims: dims.clone() }, columns.clone()));
                }
                _ => return Err(Refusal::new(format!("{name} is no output"))),
            }
        }
        let mut live = vec![false; self.registers.len()];
        for &register in wanted.iter().flat_map(|(_, columns)| columns) {
            live[register] = true;
        }
        let mut steps = Vec::new();
        for step in self.steps.into_iter().rev() {
            if let Some(step) = step.trimmed(&live) {
                for register in step.args() {
                    live[register] = true;
                }
                steps.push(step);
            }
        }
        steps.reverse();
        let numbers = number(&self.registers, &steps, &live);
        let mut program = Program {
            inputs: self.inputs,
            outputs: Vec::new(),
            loads: Vec::new(),
            stores: Vec::new(),
            registers: numbers.next,
            splits: vec![0; self.splits],
            constants: Vec::new(),
            instructions: Vec::new(),
        };
        for (register, (_, origin)) in self.registers.iter().enumerate() {
            match (origin, numbers.of[register]) {
                (Origin::Input { input, column }, Some(number)) => extend(&mut program.loads, *input, *column, number),
                (Origin::Constant(scalar), Some(number)) => program.constants.push((number, scalar.clone())),
                _ => {}
            }
        }
        for (tensor, (slot, columns)) in wanted.into_iter().enumerate() {
            for (column, &register) in columns.iter().enumerate() {
                extend(&mut program.stores, tensor, column, numbers.get(register));
            }
            program.outputs.push(slot);
        }
        for step in steps {
            if let Step::Pieces { picks, split, .. } = &step {
                let asked = picks.iter().map(|(place, _)| place + 1).max().unwrap_or(0);
                program.splits[*split] = asked.max(program.splits[*split]);
            }
            instructions(step, &numbers, &live, &mut program.instructions);
        }
        Ok(program)
    }
}

/// Inputs first, then constants, then what is computed, so that operands always lie before results.
fn number(registers: &[(Kind, Origin)], steps: &[Step], live: &[bool]) -> Numbers {
    let mut numbers = Numbers {
        of: vec![None; registers.len()],
        kinds: registers.iter().map(|(kind, _)| *kind).collect(),
        next: [0; 5],
    };
    let is_input = |register: Register| matches!(registers[register].1, Origin::Input { .. });
    let is_constant = |register: Register| matches!(registers[register].1, Origin::Constant(_));
    (0..registers.len()).filter(|&register| live[register] && is_input(register)).for_each(|it| numbers.give(it));
    for register in steps.iter().flat_map(Step::args).filter(|&register| is_constant(register)) {
        numbers.give(register);
    }
    (0..registers.len()).filter(|&register| live[register] && is_constant(register)).for_each(|it| numbers.give(it));
    for step in steps {
        step.outs().into_iter().for_each(|register| numbers.give(register));
        if let Step::Best { places, .. } = step {
            places.iter().filter(|&&place| live[place]).for_each(|&place| numbers.give(place));
        }
    }
    numbers
}

/// Adds a column to the moves, to the last one where it follows on.
fn extend(moves: &mut Vec<Move>, tensor: usize, column: usize, register: usize) {
    if let Some(last) = moves.last_mut()
        && (last.tensor, last.column + last.count, last.register + last.count) == (tensor, column, register)
    {
        last.count += 1;
        return;
    }
    moves.push(Move { tensor, column, register, count: 1 });
}

fn instructions(step: Step, numbers: &Numbers, live: &[bool], out: &mut Vec<Instruction>) {
    let get = |register: Register| numbers.get(register);
    out.push(match step {
        Step::Wide { op, arity, columns } => {
            let mut rest = &columns[..];
            while !rest.is_empty() {
                let (count, args) = run(rest, arity, numbers);
                let (out_register, column) = (get(rest[0].out), rest[0].place);
                out.push(Instruction::Wide { op, out: out_register, count, column, args });
                rest = &rest[count..];
            }
            return;
        }
        Step::Pick { index, table, width, height, picks } => Instruction::Pick {
            index: get(index),
            table,
            width,
            height: i64::try_from(height).unwrap_or(i64::MAX),
            picks: picks.into_iter().map(|(at, register)| (at, get(register))).collect(),
        },
        Step::Label { text, table, out } => Instruction::Label { text: get(text), table, out: get(out) },
        Step::Match { text, pattern, out } => Instruction::Match { text: get(text), pattern, out: get(out) },
        Step::SameText { one, other, out } => Instruction::SameText { one: get(one), other: get(other), out: get(out) },
        Step::Join { one, other, out } => Instruction::Join { one: get(one), other: get(other), out: get(out) },
        Step::Either { condition, one, other, out } => {
            Instruction::Either { condition: get(condition), one: get(one), other: get(other), out: get(out) }
        }
        Step::Pieces { text, delimiter, picks, split } => {
            let picks = picks.into_iter().map(|(place, out)| (place, get(out))).collect();
            Instruction::Pieces { text: get(text), delimiter, picks, split }
        }
        Step::Count { text, delimiter, out } => Instruction::Count { text: get(text), delimiter, out: get(out) },
        Step::Largest { text, delimiter, table, extra, out } => {
            Instruction::Largest { text: get(text), delimiter, table, extra: get(extra), out: get(out) }
        }
        Step::Number { text, kind, out } => Instruction::Number { text: get(text), kind, out: get(out) },
        Step::Fold { fold, kind, row, group, groups, out } => {
            Instruction::Fold { fold, kind, row: numbers.all(&row), group, groups, out: get(out) }
        }
        Step::Best { kind, row, largest, values, places } => Instruction::Best {
            kind,
            row: numbers.all(&row),
            largest,
            values: numbers.all(&values),
            places: places.into_iter().map(|place| live[place].then(|| get(place))).collect(),
        },
        Step::Running { kind, row, outs } => {
            Instruction::Running { kind, row: numbers.all(&row), outs: numbers.all(&outs) }
        }
        Step::Least { kind, row, out } => Instruction::Least { kind, row: numbers.all(&row), out: get(out) },
        Step::Choose { kind, row, index, out } => {
            Instruction::Choose { kind, row: numbers.all(&row), index: get(index), out: get(out) }
        }
    });
}

/// How many columns go on evenly from the first, and their operands.
fn run(columns: &[Column], arity: usize, numbers: &Numbers) -> (usize, [Run; 3]) {
    let at = |column: usize, arg: usize| numbers.get(columns[column].args[arg]);
    let mut args = [Run::default(); 3];
    for (arg, run) in args.iter_mut().enumerate().take(arity) {
        run.first = at(0, arg);
        run.step = usize::from(columns.len() > 1 && at(1, arg) == run.first + 1);
    }
    let even = |column: usize| {
        let follows = columns[column].place == columns[0].place + column;
        follows && (0..arity).all(|arg| at(column, arg) == args[arg].first + column * args[arg].step)
    };
    let count = (1..columns.len()).take_while(|&column| even(column)).count() + 1;
    (count, args)
}
