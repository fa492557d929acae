//! Bearer secrets, ours and Entra's, and the digests kept in their place.
//!
//! The two worlds are different types: no response of ours can hold a token of Entra's, because
//! no type that leaves the server takes one (MCP authorization, *Access Token Privilege
//! Restriction*).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::platform::SecureRandom;

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<String>);

        impl $name {
            /// Wraps a value received from the network or from configuration.
            pub fn new(value: impl Into<String>) -> Self {
                Self(Zeroizing::new(value.into()))
            }

            /// Returns the bare secret, to put on the wire and nowhere else.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// The digest under which this secret is kept.
            pub fn hashed(&self) -> Hashed<Self> {
                Hashed::of(self.expose())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl Sealable for $name {
            fn bare(&self) -> &str {
                &self.0
            }

            fn unsealed(value: String) -> Self {
                Self::new(value)
            }
        }
    )+};
}

secrets! {
    /// An access token we issued (RFC 6749 §1.4).
    AccessToken,
    /// An authorization code we issued (RFC 6749 §1.3.1).
    AuthorizationCode,
    /// What binds a login to the browser that approved it: the value of its cookie.
    BrowserBinding,
    /// What decrypts the private key in a certificate file.
    CertificatePassword,
    /// A signed statement of who our app registration is (RFC 7521 §4.2).
    ClientAssertion,
    /// The secret Entra gave our app registration.
    ClientSecret,
    /// What answers a code challenge (RFC 7636 §4.1).
    CodeVerifier,
    /// What the database of a store asks for.
    DatabasePassword,
    /// An access token Entra issued. It never reaches an MCP client.
    EntraAccessToken,
    /// An authorization code Entra issued.
    EntraCode,
    /// An ID token Entra issued.
    EntraIdToken,
    /// A refresh token Entra issued. It never reaches an MCP client.
    EntraRefreshToken,
    /// What App Service wants to hear before it gives tokens of the managed identity.
    IdentityHeader,
    /// The secret of a client that the operator knows (RFC 6749 §2.3.1).
    McpClientSecret,
    /// What ties Entra's ID token to one login (OpenID Connect Core §3.1.2.1).
    Nonce,
    /// A refresh token we issued (RFC 6749 §1.5).
    RefreshToken,
    /// The `state` we send Entra (RFC 6749 §4.1.1).
    UpstreamState,
}

/// Draws 256 bits and writes them in base64url.
fn draw(random: &dyn SecureRandom) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

macro_rules! drawn {
    ($($name:ident),+) => {$(
        impl $name {
            /// Draws a fresh one with 256 bits of entropy.
            pub(crate) fn generate(random: &dyn SecureRandom) -> Self {
                Self(draw(random))
            }
        }
    )+};
}

drawn!(
    AuthorizationCode,
    BrowserBinding,
    CodeVerifier,
    Nonce,
    UpstreamState
);

/// The SHA-256 of a `T`: what is kept, so that a leaked store holds no bearer secret.
pub struct Hashed<T> {
    digest: [u8; 32],
    of: PhantomData<fn() -> T>,
}

impl<T> Hashed<T> {
    /// The digest of `secret`.
    pub(crate) fn of(secret: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self {
            digest: bytes,
            of: PhantomData,
        }
    }

    /// The digest, to use as a key in a store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl<T> Clone for Hashed<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Hashed<T> {}

// Digests of 256-bit secrets: comparing them in variable time tells nothing about the secret.
impl<T> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<T> Eq for Hashed<T> {}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl<T> fmt::Debug for Hashed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashed").finish_non_exhaustive()
    }
}

impl<T> Serialize for Hashed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.digest))
    }
}

impl<'de, T> Deserialize<'de> for Hashed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self {
                digest: bytes,
                of: PhantomData,
            }),
            _ => Err(serde::de::Error::custom("not a digest")),
        }
    }
}

/// A secret that a record may hold, because records are sealed before they leave the process.
pub(crate) trait Sealable {
    /// The bare value.
    fn bare(&self) -> &str;
    /// The secret again.
    fn unsealed(value: String) -> Self;
}

/// Writes a secret into a record that is about to be sealed: `#[serde(with = "secret::sealable")]`.
///
/// Secrets have no `Serialize` of their own, so each place that stores one names this module and
/// can be found by it.
pub(crate) mod sealable {
    use super::{Deserialize, Deserializer, Sealable, Serializer};

    pub(crate) fn serialize<T: Sealable, S: Serializer>(
        secret: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.bare())
    }

    pub(crate) fn deserialize<'de, T: Sealable, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer).map(T::unsealed)
    }

    /// The same for a secret that may be missing.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Sealable, Serializer};

        #[expect(
            clippy::ref_option,
            reason = "serde's `with` gives a reference to the field"
        )]
        pub(crate) fn serialize<T: Sealable, S: Serializer>(
            secret: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match secret {
                Some(secret) => serializer.serialize_some(secret.bare()),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, T: Sealable, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            Option::<String>::deserialize(deserializer).map(|value| value.map(T::unsealed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_secrets() {
        assert_eq!(
            format!("{:?}", EntraRefreshToken::new("hunter2")),
            "EntraRefreshToken(…)"
        );
        assert_eq!(
            format!("{:?}", AccessToken::new("hunter2").hashed()),
            "Hashed { .. }"
        );
    }

    #[test]
    fn digests_survive_a_round_trip() {
        let hashed = AccessToken::new("hunter2").hashed();
        let text = serde_json::to_string(&hashed).unwrap();
        assert_eq!(
            serde_json::from_str::<Hashed<AccessToken>>(&text).unwrap(),
            hashed
        );
        assert!(serde_json::from_str::<Hashed<AccessToken>>("\"short\"").is_err());
    }
}
