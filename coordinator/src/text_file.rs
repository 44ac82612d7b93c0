//! Reads what people hand in as text: hosts files, snapshots.

use std::{
    io::{self, Read as _},
    path::Path,
};

/// The whole file, if it is UTF-8 and has at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    #[expect(clippy::disallowed_methods, reason = "the reader of people's files, capped")]
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    if file.take(max_bytes + 1).read_to_string(&mut text)? as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("over {max_bytes} bytes")));
    }
    Ok(text)
}
