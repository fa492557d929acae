//! What releases wrote is read by this one, and what this one writes by them.
//!
//! A folder of `tests/fixtures/records` has what the release of its name wrote: `records.json`, records
//! of each kind as they are before they are sealed, with all that can be in them; `slots.json`, the same
//! in a store; `grants.redb`, the same in a file; `keys.json`, what opens them. `docs/adr/0026-rolling-upgrades.md`
//! says what holds for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::users::{APPROVALS, INTERACTION};
use super::*;
use crate::grant::{Approvals, InteractionKey, NeededInteraction, SignInAgainLink, UserKey};
use crate::keys::KeyFile;
use crate::oauth::client::HeldRegistration;
use crate::store::slot::{self, Slot};

/// When all of them are of use.
const NOW: u64 = 1_800_000_000;
const UNTIL: u64 = 4_000_000_000;

/// The releases of which something is kept; this one must be among them.
fn releases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records");
    let entries = fs::read_dir(&folder).unwrap();
    let releases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let this = folder.join(env!("CARGO_PKG_VERSION"));
    assert!(
        releases.contains(&this),
        "keep what this release writes: run `keep_what_this_release_writes`"
    );
    releases
}

type Records = BTreeMap<String, Vec<Value>>;

fn records(release: &Path) -> Records {
    let text = fs::read_to_string(release.join("records.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What this release makes of the JSON of a record, when it writes it anew.
fn rewritten(kind: &str, record: &Value) -> Result<Value, serde_json::Error> {
    fn through<T: DeserializeOwned + Serialize>(
        record: &Value,
    ) -> Result<Value, serde_json::Error> {
        let record: T = serde_json::from_str(&record.to_string())?;
        serde_json::to_value(record)
    }
    match kind {
        "client" => through::<ClientRecord>(record),
        "request" => through::<Option<PendingLogin>>(record),
        "code" => through::<IssuedCode>(record),
        "grant" => through::<Grant>(record),
        "interaction" => through::<NeededInteraction>(record),
        "approvals" => through::<Approvals>(record),
        // These are in no store, but one release shows them to another.
        "held registration" => through::<HeldRegistration>(record),
        "sign in again" => through::<SignInAgainLink>(record),
        "authorization request" => through::<AuthorizationRequest>(record),
        other => panic!("{other} is of no kind"),
    }
}

fn kept_text(record: &Value, field: &str) -> String {
    record[field].as_str().unwrap().to_owned()
}

fn from_text<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(json!(text)).unwrap()
}

/// Where the `number`th record of a kind lies, and what it is sealed for; nowhere if it is shown to us.
fn place(kind: &str, number: usize, record: &Value) -> Option<(RecordKey, &'static str, Vec<u8>)> {
    fn of<T>(
        hashed: &Hashed<T>,
        name: &'static str,
        key: RecordKey,
    ) -> (RecordKey, &'static str, Vec<u8>) {
        (key, name, hashed.as_bytes().to_vec())
    }
    Some(match kind {
        "client" => {
            let id = hashed(&ClientId::parse(&kept_text(record, "id")).unwrap());
            of(&id, CLIENT, RecordKey::client(&id))
        }
        "request" => {
            let state = state(record).hashed();
            of(&state, REQUEST, RecordKey::request(&state))
        }
        "code" => {
            let code = code(number).hashed();
            of(&code, CODE, RecordKey::code(&code))
        }
        "grant" => {
            let id = GrantId::parse(&kept_text(record, "id")).unwrap();
            (RecordKey::grant(&id), GRANT, id.as_bytes().to_vec())
        }
        "interaction" => {
            let key = interaction(number);
            of(&key, INTERACTION, RecordKey::interaction(&key))
        }
        "approvals" => {
            let user: Hashed<UserKey> = from_text(&kept_text(record, "user"));
            of(&user, APPROVALS, RecordKey::approvals(&user))
        }
        _ => return None,
    })
}

fn state(record: &Value) -> UpstreamState {
    let Some(login) = record.as_object().and_then(|it| it.values().next()) else {
        return UpstreamState::new("spent");
    };
    let login = login.get("login").unwrap_or(login);
    UpstreamState::new(kept_text(login, "state"))
}

fn code(number: usize) -> AuthorizationCode {
    AuthorizationCode::new(format!("code {number}"))
}

fn interaction(number: usize) -> Hashed<InteractionKey> {
    Hashed::of(&format!("interaction {number}"))
}

fn version(record: &Value) -> u64 {
    record.get("version").and_then(Value::as_u64).unwrap_or(1)
}

/// The record as a store gives it to us.
async fn read(store: &SealedStore, kind: &str, number: usize, record: &Value) -> Value {
    let now = at(NOW);
    let value = match kind {
        "client" => {
            let id = ClientId::parse(&kept_text(record, "id")).unwrap();
            let client = store.client(&id, now).await.unwrap().unwrap();
            serde_json::to_value(ClientRecord(client))
        }
        "request" => serde_json::to_value(store.take_request(&state(record), now).await.unwrap()),
        "code" => match store.redeem_code(&code(number), now).await.unwrap() {
            Redeemed::Fresh(code) => serde_json::to_value(code),
            other @ (Redeemed::Replayed(_) | Redeemed::Unknown) => panic!("{other:?}"),
        },
        "grant" => {
            let id = GrantId::parse(&kept_text(record, "id")).unwrap();
            serde_json::to_value(store.grant(&id, now).await.unwrap().unwrap())
        }
        "interaction" => {
            let needed = store.interaction(&interaction(number), now).await.unwrap();
            serde_json::to_value(needed.unwrap())
        }
        "approvals" => {
            let user = from_text(&kept_text(record, "user"));
            serde_json::to_value(store.approvals(user, now).await.unwrap())
        }
        other => panic!("{other} is of no kind"),
    };
    value.unwrap()
}

/// The keys of `release`: kept files are everybody's to read, and such a file of keys is not used.
fn keys(release: &Path) -> Keys {
    let folder = tempfile::tempdir().unwrap();
    let file = private_copy(&release.join("keys.json"), folder.path());
    Keys::new(KeyFile::new(file).load(at(NOW)).unwrap())
}

fn private_copy(kept: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join(kept.file_name().unwrap());
    fs::copy(kept, &copy).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    }
    copy
}

async fn all_are_read(store: Arc<dyn Store>, release: &Path) {
    let store = SealedStore::new(store, keys(release), Arc::new(SystemRandom::default()));
    let mut read_here = 0;
    for (kind, records) in records(release) {
        for (number, record) in records.iter().enumerate() {
            if place(&kind, number, record).is_some() {
                let found = read(&store, &kind, number, record).await;
                assert!(holds(&found, record), "{kind}: {found} of {record}");
                read_here += 1;
            }
        }
    }
    assert!(read_here > 10);
}

#[tokio::test]
async fn what_a_release_kept_in_a_store_is_read() {
    for release in releases() {
        let text = fs::read_to_string(release.join("slots.json")).unwrap();
        let slots: Vec<(String, String)> = serde_json::from_str(&text).unwrap();
        let store = Arc::new(MemoryStore::new());
        for (key, slot) in slots {
            let [key, slot] = [key, slot].map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
            let key = RecordKey::from_stored(&key).unwrap();
            let slot = slot::decode(&slot).unwrap();
            assert_eq!(store.replace(&key, None, slot).await.unwrap(), Written::Yes);
        }
        all_are_read(store, &release).await;
    }
}

#[tokio::test]
#[cfg(feature = "embedded")]
async fn what_a_release_kept_in_a_file_is_read() {
    for release in releases() {
        let folder = tempfile::tempdir().unwrap();
        let file = private_copy(&release.join("grants.redb"), folder.path());
        let store = crate::store::EmbeddedStore::open(&file).unwrap();
        all_are_read(Arc::new(store), &release).await;
    }
}

/// Whether `written` says all that `kept` does.
fn holds(written: &Value, kept: &Value) -> bool {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => kept.iter().all(|(name, kept)| {
            let written = written.get(name);
            written.is_some_and(|written| holds(written, kept))
        }),
        (Value::Array(written), Value::Array(kept)) => {
            written.len() == kept.len()
                && written.iter().zip(kept).all(|(it, kept)| holds(it, kept))
        }
        (written, kept) => written == kept,
    }
}

/// Replicas of the release before read what those of this one write, while they are replaced: so no
/// field goes, has another name or holds another kind of value.
#[test]
fn what_a_release_needs_in_a_record_is_written() {
    for release in releases() {
        for (kind, records) in records(&release) {
            for record in records {
                let written = rewritten(&kind, &record).unwrap();
                assert!(holds(&written, &record), "{kind}: {written} of {record}");
            }
        }
    }
}

/// Each object in `value` that has fields, with one more.
fn with_one_more(value: &Value, more: &(String, Value)) -> Vec<Value> {
    match value {
        Value::Object(fields) => {
            let inside = fields.iter().flat_map(|(name, inner)| {
                let others = with_one_more(inner, more).into_iter();
                others.map(|inner| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), inner);
                    Value::Object(fields)
                })
            });
            let mut all: Vec<_> = inside.collect();
            if !is_variant(fields) {
                let mut fields = fields.clone();
                fields.insert(more.0.clone(), more.1.clone());
                all.push(Value::Object(fields));
            }
            all
        }
        Value::Array(values) => {
            let inside = values.iter().enumerate().flat_map(|(at, inner)| {
                let others = with_one_more(inner, more).into_iter();
                others.map(move |inner| {
                    let mut values = values.clone();
                    values[at] = inner;
                    Value::Array(values)
                })
            });
            inside.collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Whether an object is a variant of an enum, which has its name for its only field.
fn is_variant(fields: &Map<String, Value>) -> bool {
    let name = fields.keys().next();
    fields.len() == 1 && name.is_some_and(|name| name.starts_with(char::is_uppercase))
}

#[test]
fn a_field_of_a_later_release_is_ignored_wherever_it_stands() {
    let mut tried = 0;
    for release in releases() {
        for (kind, records) in records(&release) {
            for record in records {
                let known = rewritten(&kind, &record).unwrap();
                for value in [json!(7), json!(null), json!({"further": ["down"]})] {
                    for later in with_one_more(&record, &("of_a_later_release".to_owned(), value)) {
                        assert_eq!(
                            rewritten(&kind, &later).ok().as_ref(),
                            Some(&known),
                            "{kind} {later}"
                        );
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

/// A record of a format that only a later release knows is no record that there is none of: nobody is
/// signed out, and the one who asks tries again.
#[tokio::test]
async fn a_record_of_a_later_format_is_an_error_of_the_store() {
    let release = releases().remove(0);
    for (kind, records) in records(&release) {
        for (number, record) in records.iter().enumerate() {
            let Some((key, name, bytes)) = place(&kind, number, record) else {
                continue;
            };
            let bare = Arc::new(MemoryStore::new());
            let store = over(&bare, ring());
            let mut plain = record::write(record, at(UNTIL)).unwrap().to_vec();
            plain[0] += 1;
            let sealing = store.keys.current();
            let purpose = Purpose::new(name, &bytes);
            let sealed = sealing.sealing().seal(purpose, &plain, &*store.random);
            let entry = Entry::new(Sealed::from_stored(sealed.unwrap()), at(UNTIL));
            bare.put(&key, entry).await.unwrap();
            let now = at(NOW);
            let failed = match &*kind {
                "client" => {
                    let id = ClientId::parse(&kept_text(record, "id")).unwrap();
                    store.client(&id, now).await.err()
                }
                "request" => store.take_request(&state(record), now).await.err(),
                "code" => store.redeem_code(&code(number), now).await.err(),
                "grant" => {
                    let id = GrantId::parse(&kept_text(record, "id")).unwrap();
                    store.grant(&id, now).await.err()
                }
                "interaction" => store.interaction(&interaction(number), now).await.err(),
                "approvals" => {
                    let user = from_text(&kept_text(record, "user"));
                    store.approvals(user, now).await.err()
                }
                other => panic!("{other} is of no kind"),
            };
            let failed = failed.map(|error| error.source.to_string());
            let expected = RecordError::Format(2).to_string();
            assert_eq!(failed, Some(expected), "{kind}");
        }
    }
}

/// Writes what the others read, for this release, from its `records.json`.
#[tokio::test]
#[ignore = "makes the files that are kept, once for each release"]
#[cfg(feature = "embedded")]
async fn keep_what_this_release_writes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records");
    let release = folder.join(env!("CARGO_PKG_VERSION"));
    let file = release.join("grants.redb");
    for old in ["grants.redb", "keys.json"] {
        // There may be none.
        let _ = fs::remove_file(release.join(old));
    }
    let random = SystemRandom::default();
    let ring = KeyFile::new(release.join("keys.json"));
    let ring = ring
        .load_or_create(Algorithm::Es256, &random, at(NOW))
        .unwrap();
    let bare = Arc::new(MemoryStore::new());
    let sealed = over(&bare, ring);
    let embedded = crate::store::EmbeddedStore::open(&file).unwrap();
    let mut slots = Vec::new();
    for (kind, records) in records(&release) {
        for (number, record) in records.iter().enumerate() {
            let Some((key, name, bytes)) = place(&kind, number, record) else {
                continue;
            };
            let written = rewritten(&kind, record).unwrap();
            let entry = sealed
                .entry(Purpose::new(name, &bytes), &written, at(UNTIL))
                .unwrap();
            let slot =
                Slot::from_stored(entry.expires_at, version(record), None, Some(entry.sealed));
            let (at, kept) = (URL_SAFE_NO_PAD.encode(key.as_bytes()), slot::encode(&slot));
            slots.push((at, URL_SAFE_NO_PAD.encode(kept)));
            embedded.replace(&key, None, slot).await.unwrap();
        }
    }
    let text = serde_json::to_string_pretty(&slots).unwrap();
    fs::write(release.join("slots.json"), text + "\n").unwrap();
}
