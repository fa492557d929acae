//! A slot as one string, which costs Redis the least memory: 175 bytes beside a record of 1,500,
//! with its key and its expiry, where a hash of the same costs 420.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | its kind: `S` holds a record, `s` held one; `G`, `g` the same, with a grant; `h` is a lease |
//! | 8 | when it expires, in seconds, largest byte first |
//! | 8 | its version, largest byte first |
//! | 16 | the grant, in `G` and `g` |
//! | the rest | the record, in `S` and `G` |
//!
//! A lease is an `h` and its holder. A later format would take other letters.

use std::time::Duration;

use bytes::Bytes;

use super::super::{Sealed, Slot};
use crate::grant::GrantId;
use crate::platform::Timestamp;

/// How much longer than asked a slot is kept: as far as the server's clock may be ahead of ours, and
/// as much again.
const KEPT_LONGER: Duration = Duration::from_secs(120);

/// From when on an expiry is never: the year 10000.
const NEVER: u64 = 253_402_300_800;

/// What lies under a key.
pub(super) enum Found {
    /// A slot.
    Slot(Slot),
    /// The lease of somebody.
    Lease,
}

/// Packs a slot.
pub(super) fn pack(slot: &Slot) -> Vec<u8> {
    let record = slot.sealed.as_ref().map(Sealed::as_bytes);
    let mut packed = Vec::with_capacity(33 + record.map_or(0, Bytes::len));
    packed.push(match (record, slot.grant) {
        (Some(_), None) => b'S',
        (Some(_), Some(_)) => b'G',
        (None, None) => b's',
        (None, Some(_)) => b'g',
    });
    packed.extend(number(slot.expires_at.as_unix()));
    packed.extend(number(slot.version));
    packed.extend(slot.grant.iter().flat_map(GrantId::as_bytes));
    packed.extend(record.into_iter().flatten());
    packed
}

/// Unpacks what lies under a key; `None` if it is nothing of ours.
pub(super) fn unpack(packed: Vec<u8>) -> Option<Found> {
    let mut rest = Bytes::from(packed);
    let kind = take::<1>(&mut rest)?;
    if kind == *b"h" {
        return take::<16>(&mut rest).map(|_| Found::Lease);
    }
    let (holds, names) = match &kind {
        b"S" => (true, false),
        b"G" => (true, true),
        b"s" => (false, false),
        b"g" => (false, true),
        _ => return None,
    };
    let expires_at = Timestamp::from_unix(u64::from_be_bytes(take(&mut rest)?));
    let version = u64::from_be_bytes(take(&mut rest)?);
    let grant = if names {
        Some(GrantId::from_stored(take(&mut rest)?))
    } else {
        None
    };
    let sealed = holds.then(|| Sealed::from_stored(rest));
    Some(Found::Slot(Slot::from_stored(
        expires_at, version, grant, sealed,
    )))
}

/// A number as it stands in a slot.
pub(super) fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// When Redis is to forget what expires then, in its milliseconds; `None` for never.
pub(super) fn leaves_at(expires_at: Timestamp) -> Option<u64> {
    let kept_until = (expires_at + KEPT_LONGER).as_unix();
    (kept_until < NEVER).then(|| kept_until * 1000)
}

fn take<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    (rest.len() >= N)
        .then(|| rest.split_to(N))?
        .as_ref()
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let grant = Some(GrantId::from_stored([7; 16]));
        for grant in [None, grant] {
            for sealed in [
                None,
                Some(Sealed::from_stored("")),
                Some(Sealed::from_stored("x\0")),
            ] {
                let at = Timestamp::from_unix(u64::MAX - 1);
                let slot = Slot::from_stored(at, 1 << 60, grant, sealed);
                let Some(Found::Slot(found)) = unpack(pack(&slot)) else {
                    panic!("{slot:?}");
                };
                assert_eq!(found, slot);
            }
        }
    }

    #[test]
    fn what_is_cut_or_foreign_is_nothing_of_ours() {
        let slot = Slot::from_stored(
            Timestamp::from_unix(9),
            1,
            Some(GrantId::from_stored([7; 16])),
            None,
        );
        let packed = pack(&slot);
        for length in 0..packed.len() {
            assert!(unpack(packed[..length].to_vec()).is_none(), "{length}");
        }
        assert!(unpack(b"hshort".to_vec()).is_none());
        assert!(unpack([b"x".as_slice(), &[0; 40]].concat()).is_none());
    }

    #[test]
    fn an_expiry_is_kept_past_and_never_overflows() {
        let leaves = |unix| leaves_at(Timestamp::from_unix(unix));
        assert_eq!(leaves(0), Some(120_000));
        assert_eq!(leaves(1_700_000_000), Some(1_700_000_120_000));
        assert_eq!(leaves(NEVER), None);
        assert_eq!(leaves(u64::MAX), None);
    }
}
