//! A record as it is sealed: `format ‖ expiry ‖ JSON`.

use std::io;
use std::ops::RangeInclusive;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::keys::KeysUnavailable;
use crate::platform::Timestamp;

/// The formats that are read: that of the release before, that of this one, and, if it is another,
/// the one that the next release will write.
const READ: RangeInclusive<u8> = 1..=1;

/// The format that is written: one that the release before reads, too, for both may run side by side.
const WRITTEN: u8 = 1;

const FIRST_CAPACITY: usize = 4096;

/// Why a stored record is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It was sealed under a key that is gone, for another place, or was changed since.
    #[error("the record does not open: it was changed, or its key is gone")]
    Unopened,
    /// Its key may be one of ours, and cannot be had now.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    /// A later version wrote it.
    #[error("the record is of format {0}, which this version does not know")]
    Format(u8),
    /// It holds something else than expected. What it holds is a secret, so it is not told.
    #[error("the record does not hold what it should (column {column})")]
    Content {
        /// How far it made sense.
        column: usize,
    },
    /// It could not be sealed.
    #[error("the record cannot be sealed")]
    Unwritable,
}

/// Writes a record that is of use until `expires_at`.
pub(super) fn write(
    record: &impl Serialize,
    expires_at: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    let mut plain = Plain(Zeroizing::new(Vec::with_capacity(FIRST_CAPACITY)));
    plain.append(&[WRITTEN]);
    plain.append(&expires_at.as_unix().to_be_bytes());
    serde_json::to_writer(&mut plain, record).map_err(|_| RecordError::Unwritable)?;
    Ok(plain.0)
}

/// Reads a record; `None` if it is no longer of use.
pub(super) fn read<T: DeserializeOwned>(
    plain: &[u8],
    now: Timestamp,
) -> Result<Option<T>, RecordError> {
    let content = |column| RecordError::Content { column };
    let (format, rest) = plain.split_first().ok_or_else(|| content(0))?;
    if !READ.contains(format) {
        return Err(RecordError::Format(*format));
    }
    let (expires_at, json) = rest.split_first_chunk().ok_or_else(|| content(0))?;
    if now >= Timestamp::from_unix(u64::from_be_bytes(*expires_at)) {
        return Ok(None);
    }
    serde_json::from_slice(json)
        .map(Some)
        .map_err(|error| content(error.column()))
}

/// A buffer that leaves no copy behind when it grows.
struct Plain(Zeroizing<Vec<u8>>);

impl Plain {
    fn append(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_record_is_of_use_until_it_expires() {
        let plain = write(&"x", at(10)).unwrap();
        assert_eq!(read(&plain, at(9)), Ok(Some("x".to_owned())));
        assert_eq!(read::<String>(&plain, at(10)), Ok(None));
    }

    #[test]
    fn a_record_outgrows_its_first_buffer() {
        let long = "x".repeat(3 * FIRST_CAPACITY);
        let plain = write(&[&long, "y"], at(10)).unwrap();
        let read: Vec<String> = read(&plain, at(9)).unwrap().unwrap();
        assert_eq!(read, [&*long, "y"]);
    }

    #[test]
    fn what_is_no_record_is_an_error_that_tells_no_secret() {
        let mut later = write(&"x", at(10)).unwrap();
        later[0] = 2;
        assert_eq!(read::<String>(&later, at(9)), Err(RecordError::Format(2)));
        for length in 0..9 {
            let cut = &write(&"x", at(10)).unwrap()[..length];
            assert_eq!(
                read::<String>(cut, at(9)),
                Err(RecordError::Content { column: 0 })
            );
        }
        let error = read::<u64>(&write(&"hunter2", at(10)).unwrap(), at(9)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
