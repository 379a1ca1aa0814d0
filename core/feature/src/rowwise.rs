//! Instructions that go row by row: texts, tables, and what needs several columns at once.

use crate::columnwise::{Span, file, floats, wide};
use crate::order::{fold, select, sort_plain};
use crate::program::{Fold, Instruction, Table};
use crate::run::{Fault, Rows, Space};
use crate::split::pieces;
use crate::tensor::{Data, Kind};

#[allow(clippy::too_many_lines, reason = "one arm for each instruction")]
pub(crate) fn step(space: &mut Space, instruction: &Instruction, rows: Rows) -> Result<(), Fault> {
    let stride = rows.stride;
    match instruction {
        Instruction::Wide { op, out, count, column, args } => {
            wide(space, *op, *out, *column, Span { count: *count, args, rows });
        }
        Instruction::Pick { index, table, width, height, picks } => {
            for row in 0..rows.count {
                let named = space.longs[index * stride + row];
                let place = if named < 0 { named.wrapping_add(*height) } else { named };
                if place < 0 || place >= *height {
                    return Err(Fault(format!("index {named} is out of a table of {height} rows")));
                }
                let start = usize::try_from(place).unwrap_or(0) * width;
                match &table.data {
                    Data::Float(values) => {
                        for &(at, out) in picks {
                            space.floats[out * stride + row] = values[start + at];
                        }
                    }
                    Data::Double(values) => {
                        for &(at, out) in picks {
                            space.doubles[out * stride + row] = values[start + at];
                        }
                    }
                    Data::Long(values) => {
                        for &(at, out) in picks {
                            space.longs[out * stride + row] = values[start + at];
                        }
                    }
                    Data::Bool(values) => {
                        for &(at, out) in picks {
                            space.bools[out * stride + row] = u8::from(values[start + at]);
                        }
                    }
                    Data::Text(_) => unreachable!("not compiled"),
                }
            }
        }
        Instruction::Label { text, table, out } => {
            for row in 0..rows.count {
                match &**table {
                    Table::Longs(labels) => space.longs[out * stride + row] = labels.of(space.text(*text, row)),
                    Table::Floats(labels) => space.floats[out * stride + row] = labels.of(space.text(*text, row)),
                }
            }
        }
        Instruction::Match { text, pattern, out } => {
            for row in 0..rows.count {
                space.bools[out * stride + row] = u8::from(pattern.matches(space.text(*text, row)));
            }
        }
        Instruction::SameText { one, other, out } => {
            for row in 0..rows.count {
                space.bools[out * stride + row] = u8::from(space.text(*one, row) == space.text(*other, row));
            }
        }
        Instruction::Join { one, other, out } => {
            for row in 0..rows.count {
                let start = space.bytes.len();
                for register in [one, other] {
                    let (from, to) = space.texts[register * stride + row];
                    space.bytes.extend_from_within(from..to);
                }
                space.texts[out * stride + row] = (start, space.bytes.len());
            }
        }
        Instruction::Either { condition, one, other, out } => {
            for row in 0..rows.count {
                let chosen = if space.bools[condition * stride + row] == 0 { other } else { one };
                space.texts[out * stride + row] = space.texts[chosen * stride + row];
            }
        }
        Instruction::Pieces { text, delimiter, picks, split } => {
            for row in 0..rows.count {
                let (start, end) = space.texts[text * stride + row];
                for &(_, out) in picks {
                    space.texts[out * stride + row] = (start, start);
                }
                let mut count = 0;
                for (place, (from, to)) in pieces(&space.bytes[start..end], delimiter).enumerate() {
                    for &(_, out) in picks.iter().filter(|(wanted, _)| *wanted == place) {
                        space.texts[out * stride + row] = (start + from, start + to);
                    }
                    count = place + 1;
                }
                space.splits[*split] = space.splits[*split].max(count);
            }
        }
        Instruction::Count { text, delimiter, out } => {
            for row in 0..rows.count {
                let count = pieces(space.text(*text, row), delimiter).count();
                space.longs[out * stride + row] = i64::try_from(count).unwrap_or(i64::MAX);
            }
        }
        Instruction::Largest { text, delimiter, table, extra, out } => {
            let Table::Floats(labels) = &**table else { unreachable!("compiled for floats only") };
            for row in 0..rows.count {
                let text = space.text(*text, row);
                let found = pieces(text, delimiter).map(|(from, to)| labels.of(&text[from..to]));
                let extra = space.floats[extra * stride + row];
                let largest = found.fold(extra, |most, label| if label > most { label } else { most });
                space.floats[out * stride + row] = largest;
            }
        }
        Instruction::Number { text, kind, out } => {
            for row in 0..rows.count {
                let digits = space.text(*text, row);
                let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
                #[allow(clippy::cast_precision_loss, reason = "at most 15 digits")]
                let number = number.map_or(f64::NAN, |number| number as f64);
                #[allow(clippy::cast_possible_truncation, reason = "that is what is computed")]
                match kind {
                    Kind::Float => space.floats[out * stride + row] = number as f32,
                    _ => space.doubles[out * stride + row] = number,
                }
            }
        }
        Instruction::Fold { fold, kind, row, group, groups, out } => match kind {
            Kind::Float => {
                for at in 0..rows.count {
                    space.float_row.clear();
                    space.float_row.extend(row.iter().map(|register| space.floats[register * stride + at]));
                    let place = ((rows.first + at) * groups + group) * row.len();
                    space.floats[out * stride + at] = folded_float(*fold, &space.float_row, place);
                }
            }
            _ => {
                for at in 0..rows.count {
                    space.double_row.clear();
                    space.double_row.extend(row.iter().map(|register| space.doubles[register * stride + at]));
                    let place = ((rows.first + at) * groups + group) * row.len();
                    space.doubles[out * stride + at] = folded_double(*fold, &space.double_row, place);
                }
            }
        },
        Instruction::Best { kind, row, largest, values, places } => {
            let Space { floats, doubles, longs, float_row, double_row, places: found, .. } = space;
            match kind {
                Kind::Float => best(floats, longs, float_row, found, (row, *largest, values, places), rows),
                _ => best(doubles, longs, double_row, found, (row, *largest, values, places), rows),
            }
        }
        Instruction::Running { kind, row, outs } => {
            floats!(space, *kind, file => for at in 0..rows.count {
                let mut sum = file[row[0] * stride + at];
                file[outs[0] * stride + at] = sum;
                for (register, out) in row.iter().zip(outs).skip(1) {
                    sum += file[register * stride + at];
                    file[out * stride + at] = sum;
                }
            });
        }
        Instruction::Least { kind, row, out } => {
            floats!(space, *kind, file => for at in 0..rows.count {
                let mut least = 0;
                for place in 1..row.len() {
                    if file[row[place] * stride + at] < file[row[least] * stride + at] {
                        least = place;
                    }
                }
                space.longs[out * stride + at] = i64::try_from(least).unwrap_or(0);
            });
        }
        Instruction::Choose { kind, row, index, out } => {
            for at in 0..rows.count {
                let named = space.longs[index * stride + at];
                let size = i64::try_from(row.len()).unwrap_or(i64::MAX);
                let place = if named < 0 { named.wrapping_add(size) } else { named };
                let register = usize::try_from(place).ok().and_then(|place| row.get(place));
                let register = register.ok_or_else(|| Fault(format!("index {named} is out of {size} values")))?;
                file!(space, *kind, file => file[out * stride + at] = file[register * stride + at]);
            }
        }
    }
    Ok(())
}

#[inline]
#[allow(clippy::cast_precision_loss, reason = "rows are short")]
fn folded_float(kind: Fold, row: &[f32], place: usize) -> f32 {
    match kind {
        Fold::Sum => fold(row, place, |a, b| a + b),
        Fold::Mean => fold(row, place, |a, b| a + b) / row.len() as f32,
        Fold::Max => fold(row, place, |a, b| if a < b { b } else { a }),
        Fold::Min => fold(row, place, |a, b| if b < a { b } else { a }),
    }
}

#[inline]
#[allow(clippy::cast_precision_loss, reason = "rows are short")]
fn folded_double(kind: Fold, row: &[f64], place: usize) -> f64 {
    match kind {
        Fold::Sum => fold(row, place, |a, b| a + b),
        Fold::Mean => fold(row, place, |a, b| a + b) / row.len() as f64,
        Fold::Max => fold(row, place, |a, b| if a < b { b } else { a }),
        Fold::Min => fold(row, place, |a, b| if b < a { b } else { a }),
    }
}

type Chosen<'a> = (&'a [usize], bool, &'a [usize], &'a [Option<usize>]);

#[allow(clippy::float_cmp, clippy::eq_op, reason = "equal values keep their order, and NaN differs from itself")]
fn best<T: Copy + PartialOrd>(
    file: &mut [T],
    longs: &mut [i64],
    row: &mut Vec<T>,
    found: &mut Vec<usize>,
    (registers, largest, values, places): Chosen,
    rows: Rows,
) {
    found.resize(registers.len(), 0);
    for at in 0..rows.count {
        row.clear();
        row.extend(registers.iter().map(|register| file[register * rows.stride + at]));
        let plain = row.iter().all(|value| value == value);
        match (plain, largest) {
            (true, true) => sort_plain(row, found, |a, b| a > b),
            (true, false) => sort_plain(row, found, |a, b| a < b),
            (false, true) => {
                select(found, values.len(), &|a, b| row[a] > row[b] || (row[a] == row[b] && a < b));
            }
            (false, false) => {
                select(found, values.len(), &|a, b| row[a] < row[b] || (row[a] == row[b] && a < b));
            }
        }
        for (place, ((&from, &value), index)) in found.iter().zip(values).zip(places).enumerate() {
            file[value * rows.stride + at] = row[if plain { place } else { from }];
            if let Some(index) = index {
                longs[index * rows.stride + at] = i64::try_from(from).unwrap_or(0);
            }
        }
    }
}
