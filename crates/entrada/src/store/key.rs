//! Where a record lies.

use std::fmt;

use crate::grant::{GrantId, InteractionKey, UserKey};
use crate::oauth::client::ClientId;
use crate::oauth::issuer::Issuer;
use crate::secret::{AuthorizationCode, Hashed, UpstreamState};

/// Which kind of record.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Collection {
    /// Clients that registered.
    Clients,
    /// Logins under way, and what may be used once.
    Requests,
    /// Authorization codes.
    Codes,
    /// Grants.
    Grants,
    /// What users must bring to their next login.
    Interactions,
    /// What users approved.
    Approvals,
    /// What one replica at a time does.
    Flights,
    /// Key rings.
    KeyRings,
}

/// Names something that only one replica may do at a time.
#[derive(Debug)]
#[non_exhaustive]
pub struct Flight;

/// Where a record lies: its collection, and a digest or a name by which it is found there. No
/// secret, and no way back to one.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordKey {
    /// The tag of the collection, then what it is found by.
    bytes: Box<[u8]>,
    collection: Collection,
}

impl RecordKey {
    fn of(collection: Collection, id: &[u8]) -> Self {
        Self {
            bytes: [&[collection.tag()], id].concat().into(),
            collection,
        }
    }

    /// The key of a client.
    pub fn client(id: &Hashed<ClientId>) -> Self {
        Self::of(Collection::Clients, id.as_bytes())
    }

    /// The key of a login under way.
    pub fn request(state: &Hashed<UpstreamState>) -> Self {
        Self::of(Collection::Requests, state.as_bytes())
    }

    /// The key of a code.
    pub fn code(code: &Hashed<AuthorizationCode>) -> Self {
        Self::of(Collection::Codes, code.as_bytes())
    }

    /// The key of a grant.
    pub fn grant(id: &GrantId) -> Self {
        Self::of(Collection::Grants, id.as_bytes())
    }

    /// The key of what a user must bring to their next login.
    pub fn interaction(key: &Hashed<InteractionKey>) -> Self {
        Self::of(Collection::Interactions, key.as_bytes())
    }

    /// The key of what a user approved.
    pub fn approvals(user: &Hashed<UserKey>) -> Self {
        Self::of(Collection::Approvals, user.as_bytes())
    }

    /// The key of what one replica does at a time.
    pub fn flight(flight: &Hashed<Flight>) -> Self {
        Self::of(Collection::Flights, flight.as_bytes())
    }

    /// The key of the ring that a server's replicas share.
    pub fn key_ring(issuer: &Hashed<Issuer>) -> Self {
        Self::of(Collection::KeyRings, issuer.as_bytes())
    }

    /// Which kind of record lies there.
    pub fn collection(&self) -> Collection {
        self.collection
    }

    /// What a record is found by within its collection.
    pub(super) fn id(&self) -> &[u8] {
        self.bytes.get(1..).unwrap_or_default()
    }

    /// The grant that lies there, if it is the key of one.
    pub(super) fn grant_id(&self) -> Option<GrantId> {
        let is_grant = self.collection == Collection::Grants;
        let id = self.id().try_into().ok().filter(|_| is_grant)?;
        Some(GrantId::from_stored(id))
    }

    /// The bytes to keep a record under: different for different keys.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what [`as_bytes`](Self::as_bytes) gave; `None` if it is nothing this version knows.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        let (tag, id) = bytes.split_first()?;
        let collection = Collection::ALL.into_iter().find(|it| it.tag() == *tag)?;
        let length = match collection {
            Collection::Grants => 16,
            Collection::Clients
            | Collection::Requests
            | Collection::Codes
            | Collection::Interactions
            | Collection::Approvals
            | Collection::Flights
            | Collection::KeyRings => 32,
        };
        (id.len() == length).then(|| Self::of(collection, id))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordKey").finish_non_exhaustive()
    }
}

impl Collection {
    const ALL: [Self; 8] = [
        Self::Clients,
        Self::Requests,
        Self::Codes,
        Self::Grants,
        Self::Interactions,
        Self::Approvals,
        Self::Flights,
        Self::KeyRings,
    ];

    const fn tag(self) -> u8 {
        match self {
            Self::Clients => b'c',
            Self::Requests => b'r',
            Self::Codes => b'o',
            Self::Grants => b'g',
            Self::Interactions => b'i',
            Self::Approvals => b'a',
            Self::Flights => b'f',
            Self::KeyRings => b'k',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_kinds_differ_and_come_back() {
        let digest = [7; 32];
        let of = |collection| RecordKey::of(collection, &digest);
        let grant = RecordKey::grant(&GrantId::from_stored([7; 16]));
        let keys: Vec<_> = Collection::ALL
            .into_iter()
            .filter(|collection| *collection != Collection::Grants)
            .map(of)
            .chain([grant])
            .collect();
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(RecordKey::from_stored(key.as_bytes()).as_ref(), Some(key));
            assert!(!keys.iter().skip(at + 1).any(|other| other == key));
        }
        for unknown in [&b""[..], b"g", b"gtoo short", b"?1234567890123456"] {
            assert_eq!(RecordKey::from_stored(unknown), None);
        }
        assert_eq!(
            RecordKey::from_stored(of(Collection::Grants).as_bytes()),
            None
        );
    }
}
