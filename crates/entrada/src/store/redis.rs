//! A store in Redis or Valkey, for many processes.
//!
//! Each record is one key: the prefix, then the bytes of its [`RecordKey`]. What lies there is one
//! string (`packed.rs`), and what looks before it writes is one script (`scripts.rs`). So every verb
//! touches one key and is one step, on one server as on a cluster, and nothing need be swept:
//! entries leave by themselves.
//!
//! The library underneath speaks the protocol and shares a connection among commands. When to
//! connect and to whom, and whether to send something again, is decided here (`line.rs`, `nodes.rs`,
//! `cluster.rs`): a command whose answer was lost must not be sent a second time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use tokio_rustls::TlsConnector;

use super::tls::TlsFiles;
use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, Slot, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::platform::Timestamp;

mod cluster;
mod dial;
mod eviction;
mod export;
mod failure;
mod line;
mod nodes;
mod packed;
mod scripts;
mod settings;

pub use settings::{OpenRedisError, RedisSettings};

use dial::Dialler;
use failure::Failure;
use nodes::{Nodes, Plan, Request};
use packed::Found;

/// A store in Redis or Valkey 7 or later, for many processes: one server, one that sentinels watch
/// over, or a cluster.
///
/// It opens whether Redis is there or not, and heals by itself: verbs fail at once while there is no
/// connection, and work again about a second after there can be one. A verb whose answer was lost
/// fails, and is not tried a second time; one that Redis certainly did not carry out is.
///
/// # What is durable
///
/// What Redis acknowledged, as far as Redis is set up to keep it:
///
/// - On one server, `appendonly yes` with `appendfsync always` loses nothing to a crash; `everysec`
///   loses up to a second of grants, and of revocations, which come back to life; without
///   `appendonly` a restart loses all since the last snapshot.
/// - A failover, by sentinels or in a cluster, loses what the new primary had not received.
///   `wait_replicas` in the URL has each write wait until that many replicas have it, and fail if
///   they do not confirm: the write may then stand all the same. It makes losses rare, not
///   impossible: which replica is promoted is not ours to say. Set `min-replicas-to-write` on the
///   server too, so that a primary cut off from its replicas stops taking writes; until its clients
///   notice, it still answers reads, of revoked grants too.
/// - `maxmemory-policy` must be `noeviction`: with any other, Redis forgets users' sessions, spent
///   codes and revocations when memory runs short. A warning is logged if it is another.
///
/// Entries stay two minutes longer than asked, so that Redis' clock may be ahead of ours by as much.
///
/// # Security
///
/// Records are sealed, but whoever can write to Redis can bring a revoked grant back. Give Entrada a
/// user of its own, with TLS, and no more than
/// `~entrada:* +get +set +del +getrange +pexpire +eval +evalsha +scan +info +wait +role +ping`
/// `+cluster|slots +asking` (`ACL SETUSER`).
#[derive(Debug)]
pub struct RedisStore {
    nodes: Nodes,
    prefix: Vec<u8>,
}

impl RedisStore {
    /// Opens the store that `settings` name. Nothing is connected yet, and Redis need not be there.
    ///
    /// Blocks while certificates and a password are read. Verbs must then be called within a `tokio` runtime with
    /// its I/O and its clock.
    ///
    /// # Errors
    ///
    /// [`OpenRedisError`] if the settings are wrong.
    pub fn open(settings: RedisSettings) -> Result<Self, OpenRedisError> {
        let tls = settings.tls.as_ref().map(TlsFiles::read);
        let dialler = Dialler {
            tls: tls
                .transpose()?
                .map(|config| TlsConnector::from(Arc::new(config))),
            tls_name: settings.tls_name.clone(),
            login: settings.login.clone(),
            sentinel_login: settings.login_to_sentinels()?,
            // A second one must fit in while a command waits.
            limit: settings.timeout / 2,
            looked: AtomicBool::new(false),
        };
        let plan = Plan {
            dialler: Arc::new(dialler),
            timeout: settings.timeout,
            wait: settings.wait,
        };
        Ok(Self {
            nodes: Nodes::new(&settings, plan),
            prefix: settings.prefix.into_bytes(),
        })
    }

    fn key(&self, key: &RecordKey) -> Vec<u8> {
        [self.prefix.as_slice(), key.as_bytes()].concat()
    }

    async fn ask(&self, request: Request) -> Result<Value, StoreError> {
        self.nodes.ask(&request).await.map_err(StoreError::new)
    }

    /// Asks what answers with what lies under a key.
    async fn found(&self, request: Request) -> Result<Option<Found>, StoreError> {
        let answer = self.ask(request).await?;
        let packed = redis::from_redis_value::<Option<Vec<u8>>>(answer);
        let found = packed.ok().and_then(|packed| match packed {
            Some(packed) => packed::unpack(packed).map(Some),
            None => Some(None),
        });
        found.ok_or_else(not_understood)
    }

    /// Asks what answers with a number for what came of a write.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is an answer")]
    async fn written(&self, request: Request) -> Result<Written, StoreError> {
        match self.ask(request).await? {
            Value::Int(0) | Value::Okay => Ok(Written::Yes),
            // `SET … NX` that found something.
            Value::Int(1) | Value::Nil => Ok(Written::Conflict),
            Value::Int(2) => Ok(Written::Revoked),
            _ => Err(not_understood()),
        }
    }

    /// Keeps a slot, unless anything is there.
    async fn keep_new(&self, key: &RecordKey, slot: &Slot) -> Result<Written, StoreError> {
        let mut arguments = set(slot);
        arguments.push(b"NX".to_vec());
        self.written(Request::set(self.key(key), arguments)).await
    }
}

/// What `SET` takes behind the key.
fn set(slot: &Slot) -> Vec<Vec<u8>> {
    let mut arguments = vec![packed::pack(slot)];
    if let Some(at) = packed::leaves_at(slot.expires_at) {
        arguments.extend([b"PXAT".to_vec(), at.to_string().into_bytes()]);
    }
    arguments
}

/// When a slot is to leave, as scripts take it.
fn leaves_at(expires_at: Timestamp) -> Vec<u8> {
    let at = packed::leaves_at(expires_at);
    at.map_or_else(Vec::new, |at| at.to_string().into_bytes())
}

fn not_understood() -> StoreError {
    StoreError::new(Failure::NotUnderstood)
}

#[async_trait]
impl Store for RedisStore {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        match self.found(Request::read(self.key(key))).await? {
            Some(Found::Slot(slot)) => Ok(slot.stored()),
            Some(Found::Lease) | None => Ok(None),
        }
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        let request = Request::set(self.key(key), set(&Slot::of(entry, 1)));
        self.written(request).await.map(drop)
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        self.keep_new(key, &Slot::of(entry, 1)).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        // None comes before version 0.
        let before = version.checked_sub(1).map(packed::number);
        let expires_at = entry.expires_at;
        let arguments = vec![
            before.map_or_else(Vec::new, Vec::from),
            packed::pack(&Slot::of(entry, version)),
            leaves_at(expires_at),
        ];
        let request = Request::script(self.key(key), &scripts::PUT_VERSION, arguments);
        self.written(request).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        let request = Request::script(self.key(key), &scripts::TAKE, Vec::new());
        Ok(match self.found(request).await? {
            Some(Found::Slot(slot)) => slot.sealed.map_or(Taken::Spent(slot.grant), Taken::Fresh),
            Some(Found::Lease) | None => Taken::Unknown,
        })
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        let arguments = vec![packed::number(until.as_unix()).to_vec(), leaves_at(until)];
        let request = Request::script(self.key(key), &scripts::REVOKE, arguments);
        self.written(request.repeatable()).await.map(drop)
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let term = term.as_millis().clamp(1, LONGEST_TERM.as_millis());
        let arguments = vec![
            holder.as_bytes().to_vec(),
            term.to_string().into_bytes(),
            packed::number(now.as_unix()).to_vec(),
        ];
        let request = Request::script(self.key(flight), &scripts::LEASE, arguments);
        Ok(match self.found(request.repeatable()).await? {
            Some(Found::Lease) => Lease::Held,
            Some(Found::Slot(slot)) => slot.sealed.map_or(Lease::Busy, Lease::Answered),
            None => Lease::Busy,
        })
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        let leaves = answer.as_ref().map(|entry| leaves_at(entry.expires_at));
        let answer = answer.map(|entry| packed::pack(&Slot::of(entry, 1)));
        let arguments = vec![
            holder.as_bytes().to_vec(),
            answer.unwrap_or_default(),
            leaves.unwrap_or_default(),
        ];
        let request = Request::script(self.key(flight), &scripts::SETTLE, arguments);
        self.written(request).await
    }

    async fn sweep(&self, _now: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        self.page(after, most).await.map_err(StoreError::new)
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        match self.found(Request::read(self.key(key))).await? {
            Some(Found::Slot(slot)) => Ok(Some(slot)),
            Some(Found::Lease) | None => Ok(None),
        }
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        let Some(found) = found else {
            return self.keep_new(key, &slot).await;
        };
        let arguments = vec![
            packed::pack(found),
            packed::pack(&slot),
            leaves_at(slot.expires_at),
        ];
        let request = Request::script(self.key(key), &scripts::REPLACE, arguments);
        self.written(request).await
    }
}

/// How long a lease can be taken at a time.
const LONGEST_TERM: Duration = Duration::from_secs(60 * 60 * 24);
