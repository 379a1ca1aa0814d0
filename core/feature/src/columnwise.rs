//! Instructions over columns: each value of a column from the values beside it in others.

use crate::program::{Run, Wide};
use crate::run::{Rows, Space};
use crate::tensor::Kind;

/// Where an instruction over columns reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub count: usize,
    pub args: &'a [Run; 3],
    pub rows: Rows,
}

#[inline]
fn column<'a, T>(file: &'a [T], run: &Run, at: usize, rows: Rows) -> &'a [T] {
    &file[(run.first + at * run.step) * rows.stride..][..rows.count]
}

#[inline]
fn one<A: Copy, R>(from: &[A], to: &mut [R], span: Span, work: impl Fn(A) -> R) {
    let [first, ..] = span.args;
    if span.rows.stride == 1 {
        for (at, to) in to[..span.count].iter_mut().enumerate() {
            *to = work(from[first.first + at * first.step]);
        }
        return;
    }
    for at in 0..span.count {
        let to = &mut to[at * span.rows.stride..][..span.rows.count];
        for (to, &value) in to.iter_mut().zip(column(from, first, at, span.rows)) {
            *to = work(value);
        }
    }
}

#[inline]
fn two<A: Copy, R>(from: &[A], to: &mut [R], span: Span, work: impl Fn(A, A) -> R) {
    let [first, second, _] = span.args;
    if span.rows.stride == 1 {
        for (at, to) in to[..span.count].iter_mut().enumerate() {
            *to = work(from[first.first + at * first.step], from[second.first + at * second.step]);
        }
        return;
    }
    for at in 0..span.count {
        let to = &mut to[at * span.rows.stride..][..span.rows.count];
        let (one, other) = (column(from, first, at, span.rows), column(from, second, at, span.rows));
        for ((to, &one), &other) in to.iter_mut().zip(one).zip(other) {
            *to = work(one, other);
        }
    }
}

/// The value of `when`, which loses the sign of a zero as onnxruntime's `Where` does, or the other one.
#[inline]
fn choose<T: Copy>(truth: &[u8], from: &[T], to: &mut [T], span: Span, when: impl Fn(T) -> T) {
    let [condition, first, second] = span.args;
    for at in 0..span.count {
        let to = &mut to[at * span.rows.stride..][..span.rows.count];
        let truth = column(truth, condition, at, span.rows);
        let (one, other) = (column(from, first, at, span.rows), column(from, second, at, span.rows));
        for (((to, &truth), &one), &other) in to.iter_mut().zip(truth).zip(one).zip(other) {
            *to = if truth == 0 { other } else { when(one) };
        }
    }
}

/// `Min` or `Max`; `before` says whether the first operand is given. NaN wins.
#[inline]
fn extreme<T: Copy + PartialOrd>(
    file: &mut [T],
    out: usize,
    span: Span,
    before: impl Fn(T, T) -> bool,
    second: impl Fn(usize, usize) -> bool,
) {
    let [first, other, _] = span.args;
    let (from, to) = file.split_at_mut(out * span.rows.stride);
    for at in 0..span.count {
        let to = &mut to[at * span.rows.stride..][..span.rows.count];
        let (ones, others) = (column(from, first, at, span.rows), column(from, other, at, span.rows));
        for (row, ((to, &a), &b)) in to.iter_mut().zip(ones).zip(others).enumerate() {
            #[allow(clippy::eq_op, reason = "NaN differs from itself")]
            let first = before(a, b) || a != a || (a == b && !second(row, at));
            *to = if first { a } else { b };
        }
    }
}

macro_rules! file {
    ($space:ident, $kind:expr, $file:ident => $work:expr) => {
        match $kind {
            Kind::Float => {
                let $file = &mut $space.floats;
                $work
            }
            Kind::Double => {
                let $file = &mut $space.doubles;
                $work
            }
            Kind::Long => {
                let $file = &mut $space.longs;
                $work
            }
            Kind::Bool | Kind::Text => unreachable!("compiled for numbers only"),
        }
    };
}

macro_rules! floats {
    ($space:ident, $kind:expr, $file:ident => $work:expr) => {
        match $kind {
            Kind::Float => {
                let $file = &mut $space.floats;
                $work
            }
            Kind::Double => {
                let $file = &mut $space.doubles;
                $work
            }
            _ => unreachable!("compiled for floats only"),
        }
    };
}

/// Within one file, from registers before `out`.
macro_rules! within {
    ($file:ident, $out:ident, $span:ident, $map:ident, $work:expr) => {{
        let (from, to) = $file.split_at_mut($out * $span.rows.stride);
        $map(from, to, $span, $work)
    }};
}

#[allow(clippy::too_many_lines, reason = "one line for each operator")]
#[allow(clippy::float_cmp, reason = "operators compare")]
#[allow(clippy::redundant_closure_for_method_calls, reason = "methods of two types")]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "casts are what is computed")]
pub(crate) fn wide(space: &mut Space, op: Wide, out: usize, first_column: usize, span: Span) {
    let rows = span.rows;
    let bools = out * rows.stride;
    match op {
        Wide::Add(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, two, i64::wrapping_add);
        }
        Wide::Sub(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, two, i64::wrapping_sub);
        }
        Wide::Mul(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, two, i64::wrapping_mul);
        }
        Wide::Add(kind) => floats!(space, kind, file => within!(file, out, span, two, |a, b| a + b)),
        Wide::Sub(kind) => floats!(space, kind, file => within!(file, out, span, two, |a, b| a - b)),
        Wide::Mul(kind) => floats!(space, kind, file => within!(file, out, span, two, |a, b| a * b)),
        Wide::Div(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, two, |a: i64, b: i64| a.checked_div(b).unwrap_or(0));
        }
        Wide::Div(kind) => floats!(space, kind, file => within!(file, out, span, two, |a, b| a / b)),
        Wide::Mod(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, two, |a: i64, b: i64| {
                let rest = a.checked_rem(b).unwrap_or(0);
                if (rest < 0 && b > 0) || (rest > 0 && b < 0) { rest + b } else { rest }
            });
        }
        Wide::Mod(kind) => floats!(space, kind, file => within!(file, out, span, two, |a, b| a % b)),
        Wide::Min(Kind::Float, tie) => {
            let second = |row, at| tie.second::<f32>(rows.first + row, first_column + at, rows.all);
            extreme(&mut space.floats, out, span, |a, b| a < b, second);
        }
        Wide::Min(_, tie) => {
            let second = |row, at| tie.second::<f64>(rows.first + row, first_column + at, rows.all);
            extreme(&mut space.doubles, out, span, |a, b| a < b, second);
        }
        Wide::Max(Kind::Float, tie) => {
            let second = |row, at| tie.second::<f32>(rows.first + row, first_column + at, rows.all);
            extreme(&mut space.floats, out, span, |a, b| a > b, second);
        }
        Wide::Max(_, tie) => {
            let second = |row, at| tie.second::<f64>(rows.first + row, first_column + at, rows.all);
            extreme(&mut space.doubles, out, span, |a, b| a > b, second);
        }
        Wide::Equal(Kind::Bool) => {
            let file = &mut space.bools;
            within!(file, out, span, two, |a, b| u8::from(a == b));
        }
        Wide::Equal(kind) => {
            file!(space, kind, file => two(file, &mut space.bools[bools..], span, |a, b| u8::from(a == b)));
        }
        Wide::Less(kind) => {
            file!(space, kind, file => two(file, &mut space.bools[bools..], span, |a, b| u8::from(a < b)));
        }
        Wide::LessOrEqual(kind) => {
            file!(space, kind, file => two(file, &mut space.bools[bools..], span, |a, b| u8::from(a <= b)));
        }
        Wide::And => {
            let file = &mut space.bools;
            within!(file, out, span, two, |a, b| a & b);
        }
        Wide::Or => {
            let file = &mut space.bools;
            within!(file, out, span, two, |a, b| a | b);
        }
        Wide::Xor => {
            let file = &mut space.bools;
            within!(file, out, span, two, |a, b| a ^ b);
        }
        Wide::Not => {
            let file = &mut space.bools;
            within!(file, out, span, one, |a: u8| a ^ 1);
        }
        Wide::IsNan(kind) => {
            floats!(space, kind, file => one(file, &mut space.bools[bools..], span, |a| u8::from(a.is_nan())));
        }
        Wide::IsInf(kind, negative, positive) => {
            floats!(space, kind, file => one(file, &mut space.bools[bools..], span, |a| {
                u8::from(a.is_infinite() && if a.is_sign_negative() { negative } else { positive })
            }));
        }
        Wide::Abs(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, one, i64::wrapping_abs);
        }
        Wide::Abs(kind) => floats!(space, kind, file => within!(file, out, span, one, |a| a.abs())),
        Wide::Neg(Kind::Long) => {
            let file = &mut space.longs;
            within!(file, out, span, one, i64::wrapping_neg);
        }
        Wide::Neg(kind) => floats!(space, kind, file => within!(file, out, span, one, |a| -a)),
        Wide::Sqrt(kind) => floats!(space, kind, file => within!(file, out, span, one, |a| a.sqrt())),
        Wide::Reciprocal(kind) => floats!(space, kind, file => within!(file, out, span, one, |a| 1.0 / a)),
        Wide::Floor(kind) => floats!(space, kind, file => within!(file, out, span, one, |a| a.floor())),
        Wide::Ceil(kind) => floats!(space, kind, file => within!(file, out, span, one, |a| a.ceil())),
        Wide::Clip(kind) => floats!(space, kind, file => {
            let (from, to) = file.split_at_mut(out * rows.stride);
            let [value, low, high] = span.args;
            for at in 0..span.count {
                let to = &mut to[at * rows.stride..][..rows.count];
                let (low, high) = (column(from, low, at, rows), column(from, high, at, rows));
                for (row, (to, &a)) in to.iter_mut().zip(column(from, value, at, rows)).enumerate() {
                    let least = if a < low[row] { low[row] } else { a };
                    *to = if least > high[row] { high[row] } else { least };
                }
            }
        }),
        Wide::Where(Kind::Long) => {
            let (from, to) = space.longs.split_at_mut(out * rows.stride);
            choose(&space.bools, from, to, span, |a| a);
        }
        Wide::Where(kind) => floats!(space, kind, file => {
            let (from, to) = file.split_at_mut(out * rows.stride);
            choose(&space.bools, from, to, span, |a| if a == 0.0 { 0.0 } else { a });
        }),
        Wide::Cast(from, to) => cast(space, (from, to), out, span),
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "casts are what is computed")]
fn cast(space: &mut Space, kinds: (Kind, Kind), out: usize, span: Span) {
    let at = out * span.rows.stride;
    let Space { floats, doubles, longs, bools, .. } = space;
    match kinds {
        (Kind::Double, Kind::Float) => one(doubles, &mut floats[at..], span, |a| a as f32),
        (Kind::Long, Kind::Float) => one(longs, &mut floats[at..], span, |a| a as f32),
        (Kind::Bool, Kind::Float) => one(bools, &mut floats[at..], span, f32::from),
        (Kind::Float, Kind::Double) => one(floats, &mut doubles[at..], span, f64::from),
        (Kind::Long, Kind::Double) => one(longs, &mut doubles[at..], span, |a| a as f64),
        (Kind::Bool, Kind::Double) => one(bools, &mut doubles[at..], span, f64::from),
        (Kind::Float, Kind::Long) => one(floats, &mut longs[at..], span, |a| whole(f64::from(a))),
        (Kind::Double, Kind::Long) => one(doubles, &mut longs[at..], span, whole),
        (Kind::Bool, Kind::Long) => one(bools, &mut longs[at..], span, i64::from),
        (Kind::Float, Kind::Bool) => one(floats, &mut bools[at..], span, |a| u8::from(a != 0.0)),
        (Kind::Double, Kind::Bool) => one(doubles, &mut bools[at..], span, |a| u8::from(a != 0.0)),
        (Kind::Long, Kind::Bool) => one(longs, &mut bools[at..], span, |a| u8::from(a != 0)),
        _ => unreachable!("not compiled"),
    }
}

/// A whole number as the processor converts, which is what C++ leaves open beyond the range.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "that is what is computed")]
fn whole(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if cfg!(target_arch = "x86_64") && !(-LIMIT..LIMIT).contains(&value) { i64::MIN } else { value as i64 }
}

pub(crate) use {file, floats};
