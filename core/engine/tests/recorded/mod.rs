//! Calls of real clients, as they came over the wire: `tests/core/engine/recorded/<method>/<client>-<number>.bin`.

use std::fs;
use std::path::Path;

/// One call.
pub struct Call {
    /// Client and number.
    #[allow(dead_code, reason = "benchmarks do not name calls")]
    pub name: String,
    /// The request.
    pub bytes: Vec<u8>,
}

/// Calls of a method, in the order of their names.
pub fn recorded(method: &str) -> Vec<Call> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/core/engine/recorded").join(method);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut calls: Vec<Call> = files
        .map(|file| {
            let path = file.expect("it can be listed").path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Call { name, bytes: fs::read(&path).expect("it can be read") }
        })
        .collect();
    calls.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!calls.is_empty(), "nothing is recorded of {method}");
    calls
}
