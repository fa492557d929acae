//! Whether WebSockets are passed through to an MCP server, and what does not go with them.

use crate::config::Transport;
use crate::config::source::Sources;
use crate::config::value;
use crate::policy::Policy;
use crate::rate::Rates;

const NAME: &str = "websocket";

/// Reads whether they are; a problem where something else needs to know what is said in them.
pub(super) fn read(
    sources: &mut Sources<'_>,
    transport: Option<&Transport>,
    (policy, rates): (&Policy, &Rates),
) -> bool {
    let wanted = sources.parsed(NAME, value::switch) == Some(true);
    if !wanted {
        return false;
    }
    if let Some(Transport::Stdio(_)) = transport {
        let what = "a server that speaks stdio has none: write websocket = false in its route";
        sources.check(NAME, Err::<(), _>(what.to_owned()));
    }
    for (reads, why, instead) in [
        (
            !policy.rules.is_empty(),
            "rules decide by what is called",
            "let required_scopes, required_app_roles and the like say who gets to the server at all",
        ),
        (
            policy.cedar.is_some(),
            "policy_file decides by what is called",
            "name policy_file in the routes it is for alone",
        ),
        (
            rates.tool.is_some(),
            "rate_limit_tool counts what is called",
            "write rate_limit_tool = \"none\" beside it",
        ),
        (
            is_on(sources, "audit_required"),
            "with audit_required nothing may be called that is not written",
            "take one of them out",
        ),
        (
            is_on(sources, "audit_arguments"),
            "audit_arguments is to tell what tools are called with",
            "take one of them out",
        ),
    ] {
        if reads {
            let what = format!("what is said in a WebSocket is not read, and {why}: {instead}");
            sources.check(NAME, Err::<(), _>(what));
        }
    }
    true
}

/// Whether a switch is on that is read elsewhere.
fn is_on(sources: &Sources<'_>, name: &str) -> bool {
    sources.text(name).as_deref() == Some("true")
}
