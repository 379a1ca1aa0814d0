//! Cutting texts at a delimiter, as onnxruntime's `StringSplit` does: an empty text has no pieces.

/// The pieces of a text as places in it.
pub(crate) fn pieces<'a>(text: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut next = (!text.is_empty()).then_some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let found = find(&text[start..], delimiter).map(|at| start + at);
        next = found.map(|at| at + delimiter.len());
        Some((start, found.unwrap_or(text.len())))
    })
}

#[inline]
fn find(text: &[u8], delimiter: &[u8]) -> Option<usize> {
    if let [byte] = delimiter {
        return text.iter().position(|found| found == byte);
    }
    text.windows(delimiter.len()).position(|found| found == delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fall_apart() {
        let cases: [(&str, &str, &[&str]); 6] = [
            ("", ",", &[]),
            ("a", ",", &["a"]),
            ("a,", ",", &["a", ""]),
            (",a,,b", ",", &["", "a", "", "b"]),
            ("a--b---c", "--", &["a", "b", "-c"]),
            ("-", "--", &["-"]),
        ];
        for (text, delimiter, wanted) in cases {
            let found = pieces(text.as_bytes(), delimiter.as_bytes()).map(|(start, end)| &text[start..end]);
            assert_eq!(found.collect::<Vec<_>>(), wanted, "{text:?}");
        }
    }
}
