//! From an expression to states: first with steps over nothing, then without.

use std::collections::HashMap;

use super::Pattern;
use super::syntax::Part;
use crate::refusal::Refusal;

/// Most states of a table.
const MOST_STATES: usize = 2000;

/// A machine whose steps are over bytes, or over nothing.
#[derive(Default)]
pub(super) struct Machine {
    steps: Vec<Vec<(u8, u8, usize)>>,
    free: Vec<Vec<usize>>,
}

impl Machine {
    /// The table of an expression.
    pub(super) fn of(whole: &Part) -> Result<Pattern, Refusal> {
        let mut machine = Self::default();
        let (start, end) = (machine.state()?, machine.state()?);
        machine.add(whole, start, end)?;
        machine.table(start, end)
    }

    fn state(&mut self) -> Result<usize, Refusal> {
        if self.steps.len() > 10 * MOST_STATES {
            return Err(Refusal::new("pattern: too large"));
        }
        self.steps.push(Vec::new());
        self.free.push(Vec::new());
        Ok(self.steps.len() - 1)
    }

    fn add(&mut self, part: &Part, start: usize, end: usize) -> Result<(), Refusal> {
        match part {
            Part::Bytes(ranges) => self.steps[start].extend(ranges.iter().map(|&(low, high)| (low, high, end))),
            Part::Row(parts) => {
                let mut at = start;
                for part in parts {
                    let next = self.state()?;
                    self.add(part, at, next)?;
                    at = next;
                }
                self.free[at].push(end);
            }
            Part::Choice(parts) => {
                for part in parts {
                    self.add(part, start, end)?;
                }
            }
            Part::Repeat(part, least, most) => {
                let mut at = self.state()?;
                self.free[start].push(at);
                for _ in 0..*least {
                    let next = self.state()?;
                    self.add(part, at, next)?;
                    at = next;
                }
                self.free[at].push(end);
                if let Some(most) = most {
                    for _ in *least..*most {
                        let next = self.state()?;
                        self.add(part, at, next)?;
                        self.free[next].push(end);
                        at = next;
                    }
                } else {
                    let (body, back) = (self.state()?, self.state()?);
                    self.free[at].push(body);
                    self.add(part, body, back)?;
                    self.free[back].extend([body, end]);
                }
            }
        }
        Ok(())
    }

    /// All states that are reached over nothing, in order.
    fn closed(&self, mut found: Vec<usize>) -> Vec<usize> {
        let mut seen: Vec<bool> = vec![false; self.steps.len()];
        for &state in &found {
            seen[state] = true;
        }
        let mut at = 0;
        while at < found.len() {
            for &next in &self.free[found[at]] {
                if !std::mem::replace(&mut seen[next], true) {
                    found.push(next);
                }
            }
            at += 1;
        }
        found.sort_unstable();
        found
    }

    fn table(&self, start: usize, end: usize) -> Result<Pattern, Refusal> {
        let (classes, firsts) = self.classes();
        let mut sets = vec![self.closed(vec![start])];
        let mut known: HashMap<Vec<usize>, u16> = HashMap::from([(sets[0].clone(), 0)]);
        let mut next = Vec::new();
        let mut at = 0;
        while at < sets.len() {
            for &byte in &firsts {
                let mut reached: Vec<usize> = Vec::new();
                for &state in &sets[at] {
                    let found = self.steps[state].iter().filter(|(low, high, _)| *low <= byte && byte <= *high);
                    reached.extend(found.map(|(_, _, to)| to));
                }
                reached.sort_unstable();
                reached.dedup();
                let reached = self.closed(reached);
                let number = u16::try_from(sets.len()).unwrap_or(u16::MAX);
                next.push(*known.entry(reached).or_insert_with_key(|reached| {
                    sets.push(reached.clone());
                    number
                }));
                if sets.len() > MOST_STATES {
                    return Err(Refusal::new("pattern: too large"));
                }
            }
            at += 1;
        }
        let accepts = sets.iter().map(|set| set.contains(&end)).collect();
        Ok(Pattern { classes, width: firsts.len(), next, accepts })
    }

    /// Bytes that no step tells apart, and the first byte of each class.
    fn classes(&self) -> (Box<[u8; 256]>, Vec<u8>) {
        let mut starts = [false; 257];
        for &(low, high, _) in self.steps.iter().flatten() {
            starts[usize::from(low)] = true;
            starts[usize::from(high) + 1] = true;
        }
        let (mut classes, mut firsts) = (Box::new([0; 256]), vec![0]);
        for byte in 1..=255_u8 {
            if starts[usize::from(byte)] {
                firsts.push(byte);
            }
            classes[usize::from(byte)] = u8::try_from(firsts.len() - 1).unwrap_or(u8::MAX);
        }
        (classes, firsts)
    }
}
