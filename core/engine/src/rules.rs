//! What the manifest asks of the values of an input of an inference request, and what stands for one that is left out.

use std::collections::HashSet;

/// The rules of one input.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Floats.
    Double {
        /// Lowest value.
        low: f64,
        /// Highest value.
        high: f64,
        /// Whether NaN is allowed.
        optional: bool,
        /// This value, too, is not known.
        missing: Option<f64>,
        /// Stands for an input that is left out.
        default: f64,
    },
    /// Integers.
    Long {
        /// Lowest value.
        low: i64,
        /// Highest value.
        high: i64,
        /// Stands for an input that is left out; none when it must not be.
        default: Option<i64>,
    },
    /// Texts.
    Text {
        /// Whether an empty one is refused.
        required: bool,
        /// Most bytes.
        longest: Option<usize>,
        /// The only ones allowed.
        closed: Option<HashSet<Vec<u8>>>,
        /// Stands for an input that is left out.
        default: Vec<u8>,
    },
}

impl Rule {
    /// A float as the graph is to see it, when it keeps the rule.
    #[inline]
    pub(crate) fn double(&self, value: f64) -> Option<f64> {
        let Self::Double { low, high, optional, missing, .. } = self else { return None };
        #[allow(clippy::float_cmp, reason = "the value stands for one that is not known")]
        let value = if missing.is_some_and(|missing| missing == value) { f64::NAN } else { value };
        ((*low <= value && value <= *high) || (*optional && value.is_nan())).then_some(value)
    }

    /// An integer, when it keeps the rule.
    #[inline]
    pub(crate) fn long(&self, value: i64) -> Option<i64> {
        let Self::Long { low, high, .. } = self else { return None };
        (*low..=*high).contains(&value).then_some(value)
    }

    /// A text, when it keeps the rule.
    #[inline]
    pub(crate) fn text<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let Self::Text { required, longest, closed, .. } = self else { return None };
        let good = !(*required && text.is_empty())
            && longest.is_none_or(|longest| text.len() <= longest)
            && closed.as_ref().is_none_or(|closed| closed.contains(text));
        good.then_some(text)
    }
}
