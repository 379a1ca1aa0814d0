//! Regular expressions that a whole text must match, as a table of states over bytes. The language is a part of RE2's, with
//! RE2's answers; what is beyond it is refused.

use crate::refusal::Refusal;

mod machine;
mod syntax;

use machine::Machine;
use syntax::Reader;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    classes: Box<[u8; 256]>,
    width: usize,
    next: Vec<u16>,
    accepts: Vec<bool>,
}

impl Pattern {
    pub(crate) fn new(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|_| Refusal::new("pattern: not UTF-8"))?;
        Machine::of(&Reader::whole(text)?)
    }

    /// Whether the whole text matches.
    #[inline]
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let mut state = 0_usize;
        for &byte in text {
            state = self.next[state * self.width + usize::from(self.classes[usize::from(byte)])].into();
        }
        self.accepts[state]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_match() {
        let cases: [(&str, &[&str], &[&str]); 7] = [
            ("[0-9]+", &["0", "123"], &["", "1a", "1\n"]),
            ("[0-9]{1,3}", &["0", "123"], &["", "1234"]),
            ("(?i).*(test|check).*", &["a test b", "CHECK", "te\u{17f}t", "chec\u{212a}"], &["tes", "x\ntest", "tést"]),
            ("(?s).*a.*", &["\na\n", "é a"], &["\n"]),
            ("(a|b)*c?", &["", "abab", "abc", "c"], &["ca", "d"]),
            (r"(.*\+)?[ ]*x[ ]*(\+.*)?", &["x", " x ", "a+x", "x+b", "é+ x +"], &["y", "ax"]),
            ("é{2}", &["éé"], &["é", "ééé"]),
        ];
        for (pattern, yes, no) in cases {
            let compiled = Pattern::new(pattern.as_bytes()).unwrap();
            assert!(yes.iter().all(|text| compiled.matches(text.as_bytes())), "{pattern} yes");
            assert!(!no.iter().any(|text| compiled.matches(text.as_bytes())), "{pattern} no");
        }
    }

    #[test]
    fn what_is_beyond_is_refused() {
        for pattern in
            ["^a", "a$", "\\d", "[^a]", "a**", "a*?", "(?i)é", "a{2", "(a", "a)", "[a", "(?m)a", "[[:alpha:]]"]
        {
            assert!(Pattern::new(pattern.as_bytes()).is_err(), "{pattern}");
        }
        assert!(Pattern::new(b"(((((a{64}){64}){64}){64}){64})").is_err());
    }
}
