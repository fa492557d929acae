//! What the server does in one step: the verbs that look before they write.
//!
//! Scripts, not functions: a script travels with whoever needs it (`EVALSHA`, and `EVAL` where the
//! server does not know it yet), so there is nothing to install on each node, to keep through a
//! failover, or to replace on an upgrade while two versions of Entrada run side by side.
//!
//! Each touches one key. The line `#!lua` makes a server that is a replica, or out of memory,
//! refuse a script before its first step. Numbers of 64 bits stay strings of 8 bytes, for Lua would
//! round them, and none is compared by `<`, which goes by the server's locale.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// A script, and the name that the server gives it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: &'static str,
    pub(super) sha1: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        // Redis names scripts so; nothing depends on its strength.
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let sha1 = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Self {
            text,
            sha1: sha1.collect(),
        }
    }
}

/// A script that knows `later`: whether one number of 8 bytes is greater than another.
macro_rules! with_later {
    ($rest:literal) => {
        concat!(
            "#!lua
local function later(one, other)
  for at = 1, 8 do
    if one:byte(at) ~= other:byte(at) then return one:byte(at) > other:byte(at) end
  end
  return false
end
",
            $rest
        )
    };
}

/// Answers the slot as it was; what remains has no record.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua
local slot = redis.call('GET', KEYS[1])
if not slot then return false end
local kind = slot:sub(1, 1)
if kind == 'S' then redis.call('SET', KEYS[1], 's' .. slot:sub(2, 17), 'KEEPTTL') end
if kind == 'G' then redis.call('SET', KEYS[1], 'g' .. slot:sub(2, 33), 'KEEPTTL') end
return slot",
    )
});

/// Takes the version before, the slot, and when it leaves; answers 0 for yes, 1 for a conflict, 2
/// for taken or revoked.
pub(super) static PUT_VERSION: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua
local head = redis.call('GETRANGE', KEYS[1], 0, 16)
local kind = head:sub(1, 1)
if kind == 's' or kind == 'g' then return 2 end
local version = ('\\0'):rep(8)
if head ~= '' then version = head:sub(10, 17) end
if version ~= ARGV[1] then return 1 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3]) end
return 0",
    )
});

/// Takes the slot as it was found, the one that replaces it, and when that leaves; answers 0 for
/// yes, 1 for a conflict.
pub(super) static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3]) end
return 0",
    )
});

/// Takes until when the record is to stay ended, and when what says so leaves.
pub(super) static REVOKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_later!(
        "local head = redis.call('GETRANGE', KEYS[1], 0, 16)
local kind = head:sub(1, 1)
local version = ('\\0'):rep(8)
if head ~= '' then version = head:sub(10, 17) end
if kind == 's' or kind == 'g' then
  if not later(ARGV[1], head:sub(2, 9)) then
    if kind == 'g' then redis.call('SET', KEYS[1], 's' .. head:sub(2, 17), 'KEEPTTL') end
    return 0
  end
end
local ended = 's' .. ARGV[1] .. version
if ARGV[2] == '' then redis.call('SET', KEYS[1], ended)
else redis.call('SET', KEYS[1], ended, 'PXAT', ARGV[2]) end
return 0"
    ))
});

/// Takes the holder, the term in milliseconds, and now; answers what lies there, or nothing if it is
/// another's lease.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_later!(
        "local slot = redis.call('GET', KEYS[1])
local lease = 'h' .. ARGV[1]
if slot == lease then
  redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT')
  return lease
end
if slot then
  if slot:sub(1, 1) == 'h' then return false end
  if later(slot:sub(2, 9), ARGV[3]) then return slot end
end
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease"
    ))
});

/// Takes the holder, and the answer, if any, and when it leaves; answers 0 for yes, 1 for a
/// conflict.
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua
if redis.call('GETRANGE', KEYS[1], 0, 16) ~= 'h' .. ARGV[1] then return 1 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3]) end
return 0",
    )
});
