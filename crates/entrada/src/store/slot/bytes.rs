//! A slot as bytes: `flags ‖ expiry ‖ version ‖ grant? ‖ sealed`, numbers largest byte first.

use bytes::Bytes;

use super::Slot;
use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::store::Sealed;

/// The slot holds a record.
const LIVE: u8 = 1;
/// The slot names a grant.
const NAMES_GRANT: u8 = 2;

/// Writes a slot.
pub(in crate::store) fn encode(slot: &Slot) -> Vec<u8> {
    let sealed = slot.sealed.as_ref().map(Sealed::as_bytes);
    let mut bytes = Vec::with_capacity(1 + 8 + 8 + 16 + sealed.map_or(0, Bytes::len));
    let live = sealed.map_or(0, |_| LIVE);
    let names_grant = slot.grant.map_or(0, |_| NAMES_GRANT);
    bytes.push(live | names_grant);
    bytes.extend_from_slice(&slot.expires_at.as_unix().to_be_bytes());
    bytes.extend_from_slice(&slot.version.to_be_bytes());
    if let Some(grant) = &slot.grant {
        bytes.extend_from_slice(grant.as_bytes());
    }
    if let Some(sealed) = sealed {
        bytes.extend_from_slice(sealed);
    }
    bytes
}

/// Reads a slot; `None` if it is none.
pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Slot> {
    let (flags, rest) = bytes.split_first()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (grant, rest) = if flags & NAMES_GRANT == 0 {
        (None, rest)
    } else {
        let (grant, rest) = rest.split_first_chunk()?;
        (Some(GrantId::from_stored(*grant)), rest)
    };
    let sealed = if flags & LIVE == 0 {
        rest.is_empty().then_some(None)?
    } else {
        Some(Sealed::from_stored(rest.to_vec()))
    };
    (flags & !(LIVE | NAMES_GRANT) == 0).then_some(Slot {
        expires_at: Timestamp::from_unix(u64::from_be_bytes(*expires_at)),
        version: u64::from_be_bytes(*version),
        grant,
        sealed,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_come_back_as_they_were(
            expires_at: u64,
            version: u64,
            grant: Option<[u8; 16]>,
            sealed: Option<Vec<u8>>,
        ) {
            let slot = Slot {
                expires_at: Timestamp::from_unix(expires_at),
                version,
                grant: grant.map(GrantId::from_stored),
                sealed: sealed.map(Sealed::from_stored),
            };
            let read = decode(&encode(&slot)).unwrap();
            prop_assert_eq!(read, slot);
        }

        #[test]
        fn damaged_bytes_are_an_error_and_no_panic(bytes: Vec<u8>) {
            if let Some(slot) = decode(&bytes) {
                prop_assert_eq!(encode(&slot), bytes);
            }
        }
    }
}
