//! Looks whether Redis would rather forget records than refuse writes.

use redis::Value;

/// The policy with which nothing is forgotten.
const KEEPS_ALL: &str = "noeviction";

/// The command whose answer says so.
pub(super) fn question() -> redis::Cmd {
    let mut command = redis::cmd("INFO");
    command.arg("memory");
    command
}

/// Warns if Redis forgets what it should keep. What cannot be told is let be: an ACL may forbid to
/// look.
pub(super) fn warn_if_lossy(redis: &str, info: Value) {
    let Some(policy) = policy(info) else {
        tracing::debug!(redis, "redis does not tell its maxmemory-policy");
        return;
    };
    if policy != KEEPS_ALL {
        tracing::warn!(
            redis,
            policy,
            "redis forgets sessions and revocations when memory runs short: set maxmemory-policy \
             to noeviction"
        );
    }
}

fn policy(info: Value) -> Option<String> {
    let text = redis::from_redis_value::<String>(info).ok()?;
    let mut lines = text.lines();
    let policy = lines.find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(policy.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_found_among_all_else() {
        let info = "# Memory\r\nused_memory:1\r\nmaxmemory_policy:volatile-lru\r\nx:1\r\n";
        let told = policy(Value::BulkString(info.into()));
        assert_eq!(told.as_deref(), Some("volatile-lru"));
        assert_eq!(policy(Value::BulkString("# Memory\r\n".into())), None);
        assert_eq!(policy(Value::Nil), None);
    }
}
