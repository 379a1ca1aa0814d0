//! Types of elements, and constants.

/// Type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 32-bit floats.
    Float,
    /// 64-bit floats.
    Double,
    /// 64-bit integers.
    Long,
    /// Truth, a byte.
    Bool,
    /// Texts.
    Text,
}

/// Elements of a constant.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "they are the kinds")]
pub enum Data {
    Float(Vec<f32>),
    Double(Vec<f64>),
    Long(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<Vec<u8>>),
}

/// A constant.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its shape.
    pub dims: Vec<usize>,
    /// Its elements, row by row.
    pub data: Data,
}

impl Tensor {
    /// Type of its elements.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.data {
            Data::Float(_) => Kind::Float,
            Data::Double(_) => Kind::Double,
            Data::Long(_) => Kind::Long,
            Data::Bool(_) => Kind::Bool,
            Data::Text(_) => Kind::Text,
        }
    }

    /// Number of its elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Double(values) => values.len(),
            Data::Long(values) => values.len(),
            Data::Bool(values) => values.len(),
            Data::Text(values) => values.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its shape says as many elements as there are.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let size = self.dims.iter().try_fold(1_usize, |size, &dim| size.checked_mul(dim));
        size == Some(self.len())
    }

    pub(crate) fn longs(&self) -> Option<&[i64]> {
        if let Data::Long(values) = &self.data { Some(values) } else { None }
    }
}
