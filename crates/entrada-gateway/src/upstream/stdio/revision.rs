//! Which kind of conversation a revision of MCP has.

/// The revisions with sessions, the latest last.
pub const WITH_SESSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The first revision without.
pub const STATELESS_SINCE: &str = "2026-07-28";

/// Whether each request of revision `version` stands alone, as far as one can tell of revisions to come.
pub fn is_stateless(version: &str) -> bool {
    let is_date = version.len() == STATELESS_SINCE.len()
        && version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_date && version >= STATELESS_SINCE
}

/// The revision with sessions that a client asks for, or the one it is offered instead (MCP
/// lifecycle, *Version Negotiation*).
pub fn negotiated(asked: Option<&str>) -> &'static str {
    let known = WITH_SESSIONS.into_iter().find(|known| asked == Some(known));
    known.unwrap_or("2025-11-25")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_told_apart_by_their_dates() {
        for version in ["2026-07-28", "2026-08-01", "2027-01-01"] {
            assert!(is_stateless(version), "{version}");
        }
        for version in ["2025-11-25", "2024-11-05", "DRAFT-2026", "", "2026", "9"] {
            assert!(!is_stateless(version), "{version}");
        }
        assert_eq!(negotiated(Some("2025-06-18")), "2025-06-18");
        assert_eq!(negotiated(Some("1999-01-01")), "2025-11-25");
        assert_eq!(negotiated(None), "2025-11-25");
    }
}
