//! Reading an expression.

use crate::refusal::Refusal;

/// Most repetitions of a part, and deepest groups.
const MOST_REPEATS: usize = 64;

fn refused(at: &str) -> Refusal {
    Refusal::new(format!("pattern: {:?} is not compiled", at.chars().take(8).collect::<String>()))
}

/// A part of an expression.
pub(super) enum Part {
    /// One byte of a set of ranges.
    Bytes(Vec<(u8, u8)>),
    Row(Vec<Part>),
    Choice(Vec<Part>),
    Repeat(Box<Part>, usize, Option<usize>),
}

/// What is left to read.
pub(super) struct Reader<'a> {
    rest: &'a str,
    fold: bool,
    newline: bool,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// The expression as a tree.
    pub(super) fn whole(text: &'a str) -> Result<Part, Refusal> {
        let mut reader = Self { rest: text, fold: false, newline: false, depth: 0 };
        reader.flags()?;
        let whole = reader.choice()?;
        if reader.rest.is_empty() { Ok(whole) } else { Err(refused(reader.rest)) }
    }

    fn flags(&mut self) -> Result<(), Refusal> {
        let Some(rest) = self.rest.strip_prefix("(?") else { return Ok(()) };
        let Some((flags, rest)) = rest.split_once(')') else { return Err(refused(self.rest)) };
        if flags.starts_with(':') {
            return Ok(());
        }
        for flag in flags.chars() {
            match flag {
                'i' => self.fold = true,
                's' => self.newline = true,
                _ => return Err(refused(self.rest)),
            }
        }
        self.rest = rest;
        Ok(())
    }

    fn choice(&mut self) -> Result<Part, Refusal> {
        let mut parts = vec![self.row()?];
        while let Some(rest) = self.rest.strip_prefix('|') {
            self.rest = rest;
            parts.push(self.row()?);
        }
        Ok(Part::Choice(parts))
    }

    fn row(&mut self) -> Result<Part, Refusal> {
        let mut parts = Vec::new();
        while let Some(next) = self.rest.chars().next() {
            if next == '|' || next == ')' {
                break;
            }
            let atom = self.atom(next)?;
            parts.push(self.repeated(atom)?);
        }
        Ok(Part::Row(parts))
    }

    fn repeated(&mut self, atom: Part) -> Result<Part, Refusal> {
        let at = self.rest;
        let (least, most, length) = match at.as_bytes().first() {
            Some(b'*') => (0, None, 1),
            Some(b'+') => (1, None, 1),
            Some(b'?') => (0, Some(1), 1),
            Some(b'{') => {
                let end = at.find('}').ok_or_else(|| refused(at))?;
                let number = |text: &str| {
                    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                    let found = digits.then(|| text.parse().ok()).flatten();
                    found.filter(|&found: &usize| found <= MOST_REPEATS).ok_or_else(|| refused(at))
                };
                let (least, most) = match at[1..end].split_once(',') {
                    None => (number(&at[1..end])?, Some(number(&at[1..end])?)),
                    Some((least, "")) => (number(least)?, None),
                    Some((least, most)) => (number(least)?, Some(number(most)?)),
                };
                (least, most, end + 1)
            }
            _ => return Ok(atom),
        };
        self.rest = &at[length..];
        let again = self.rest.starts_with(['*', '+', '?', '{']);
        if again || most.is_some_and(|most| most < least) {
            return Err(refused(at));
        }
        Ok(Part::Repeat(Box::new(atom), least, most))
    }

    fn atom(&mut self, next: char) -> Result<Part, Refusal> {
        let at = self.rest;
        let mut after = at.chars();
        after.next();
        let second = after.clone().next();
        match next {
            '.' => {
                self.rest = after.as_str();
                Ok(self.any())
            }
            '[' => self.set(),
            '(' => {
                self.rest = after.as_str();
                if self.rest.starts_with('?') {
                    self.rest = self.rest.strip_prefix("?:").ok_or_else(|| refused(at))?;
                }
                self.depth += 1;
                if self.depth > MOST_REPEATS {
                    return Err(refused(at));
                }
                let inner = self.choice()?;
                self.depth -= 1;
                self.rest = self.rest.strip_prefix(')').ok_or_else(|| refused(at))?;
                Ok(inner)
            }
            '\\' if second.is_some_and(|second| second.is_ascii_punctuation()) => {
                after.next();
                self.rest = after.as_str();
                self.literal(second.unwrap_or(next), at)
            }
            '*' | '+' | '?' | '{' | '}' | ']' | '^' | '$' | '\\' => Err(refused(at)),
            _ => {
                self.rest = after.as_str();
                self.literal(next, at)
            }
        }
    }

    fn literal(&self, letter: char, at: &str) -> Result<Part, Refusal> {
        if let Ok(byte) = u8::try_from(letter)
            && byte.is_ascii()
        {
            return Ok(self.folded(vec![(byte, byte)]));
        }
        if self.fold {
            return Err(refused(at));
        }
        let bytes = letter.to_string().into_bytes();
        Ok(Part::Row(bytes.into_iter().map(|byte| Part::Bytes(vec![(byte, byte)])).collect()))
    }

    /// Any character; RE2 takes overlong sequences too.
    fn any(&self) -> Part {
        let tail = || Part::Bytes(vec![(0x80, 0xbf)]);
        let plain = if self.newline { vec![(0, 0x7f)] } else { vec![(0, 9), (11, 0x7f)] };
        Part::Choice(vec![
            Part::Bytes(plain),
            Part::Row(vec![Part::Bytes(vec![(0xc2, 0xdf)]), tail()]),
            Part::Row(vec![Part::Bytes(vec![(0xe0, 0xef)]), tail(), tail()]),
            Part::Row(vec![Part::Bytes(vec![(0xf0, 0xf4)]), tail(), tail(), tail()]),
        ])
    }

    fn set(&mut self) -> Result<Part, Refusal> {
        let at = self.rest;
        let end = at.find(']').ok_or_else(|| refused(at))?;
        let inner = &at.as_bytes()[1..end];
        let plain = |byte: &u8| byte.is_ascii() && !br"[\^&~".contains(byte);
        if inner.is_empty() || !inner.iter().all(plain) {
            return Err(refused(at));
        }
        let (mut ranges, mut rest) = (Vec::new(), inner);
        while let Some((&first, tail)) = rest.split_first() {
            if let [b'-', last, after @ ..] = tail {
                if first > *last || first == b'-' || *last == b'-' {
                    return Err(refused(at));
                }
                ranges.push((first, *last));
                rest = after;
            } else if first == b'-' {
                return Err(refused(at));
            } else {
                ranges.push((first, first));
                rest = tail;
            }
        }
        self.rest = &at[end + 1..];
        Ok(self.folded(ranges))
    }

    /// With case ignored, RE2 takes the Kelvin sign for a k and the long s for an s.
    fn folded(&self, mut ranges: Vec<(u8, u8)>) -> Part {
        if !self.fold {
            return Part::Bytes(ranges);
        }
        let has = |ranges: &[(u8, u8)], byte: u8| ranges.iter().any(|&(low, high)| low <= byte && byte <= high);
        for upper in b'A'..=b'Z' {
            let lower = upper.to_ascii_lowercase();
            if has(&ranges, upper) || has(&ranges, lower) {
                ranges.extend([(upper, upper), (lower, lower)]);
            }
        }
        let (kelvin, long) = (has(&ranges, b'k'), has(&ranges, b's'));
        let mut parts = vec![Part::Bytes(ranges)];
        let row = |text: &str| Part::Row(text.bytes().map(|byte| Part::Bytes(vec![(byte, byte)])).collect());
        parts.extend(kelvin.then(|| row("\u{212a}")));
        parts.extend(long.then(|| row("\u{17f}")));
        Part::Choice(parts)
    }
}
