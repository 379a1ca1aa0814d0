//! The columns that a request fills, each all rows of one input of the graph.

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit floats; NaN is not known.
    Double,
    /// 64-bit integers.
    Long,
    /// Texts; an empty one is not known.
    Text,
}

/// Values of one input, row by row.
pub(crate) enum Column {
    Doubles(Vec<f64>),
    Longs(Vec<i64>),
    Texts(Texts),
}

impl Column {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Double => Self::Doubles(Vec::new()),
            Kind::Long => Self::Longs(Vec::new()),
            Kind::Text => Self::Texts(Texts::default()),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Doubles(values) => values.clear(),
            Self::Longs(values) => values.clear(),
            Self::Texts(texts) => texts.clear(),
        }
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Doubles(values) => values.len(),
            Self::Longs(values) => values.len(),
            Self::Texts(texts) => texts.ends.len(),
        }
    }

    /// Where the values lie; a tensor over them is good as long as that stays.
    pub(crate) fn place(&self) -> usize {
        match self {
            Self::Doubles(values) => values.as_ptr().addr(),
            Self::Longs(values) => values.as_ptr().addr(),
            Self::Texts(_) => 0,
        }
    }

    #[inline]
    pub(crate) fn doubles(&mut self) -> &mut Vec<f64> {
        if let Self::Doubles(values) = self { values } else { unreachable!("the schema says floats") }
    }

    #[inline]
    pub(crate) fn longs(&mut self) -> &mut Vec<i64> {
        if let Self::Longs(values) = self { values } else { unreachable!("the schema says integers") }
    }

    #[inline]
    pub(crate) fn texts(&mut self) -> &mut Texts {
        if let Self::Texts(texts) = self { texts } else { unreachable!("the schema says texts") }
    }
}

/// Texts one behind the other.
#[derive(Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}
