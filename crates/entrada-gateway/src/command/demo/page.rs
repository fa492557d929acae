//! What the demo says of itself.

use std::fmt;

use entra_emulator::builtin;
use serde_json::{Value, json};

/// Where everything is.
pub(super) struct Demonstration<'a> {
    pub(super) mcp_url: &'a str,
    pub(super) issuer: &'a str,
    pub(super) emulator_url: &'a str,
}

impl Demonstration<'_> {
    /// For scripts.
    pub(super) fn ready_line(&self) -> Value {
        json!({
            "ready": true,
            "mcp_url": self.mcp_url,
            "issuer": self.issuer,
            "emulator_url": self.emulator_url,
            "username": builtin::ALICE,
            "password": builtin::PASSWORD,
        })
    }
}

impl fmt::Display for Demonstration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mcp_url,
            issuer,
            emulator_url,
        } = self;
        let (password, bob) = (builtin::PASSWORD, builtin::BOB);
        let code = builtin::MFA_CODE;
        write!(
            f,
            r"
Entrada demo: a sample MCP server behind the gateway, with a pretend Entra to sign in to.

  MCP server     {mcp_url}
  Pretend Entra  {emulator_url}

Sign in, with the password `{password}`, as
"
        )?;
        for (username, remark) in USERS {
            writeln!(f, "  {username}{remark}")?;
        }
        write!(
            f,
            r#"
Claude Code
  claude mcp add --transport http entrada-demo {mcp_url}
  then /mcp, and choose entrada-demo to sign in

VS Code, in .vscode/mcp.json
  {{ "servers": {{ "entrada-demo": {{ "type": "http", "url": "{mcp_url}" }} }} }}

curl
  curl -i {mcp_url}
  curl {issuer}/.well-known/oauth-protected-resource/mcp
  curl {issuer}/.well-known/oauth-authorization-server

Tools: echo, whoami (who the gateway says you are), graph_me and list_mails (Microsoft Graph, in
your name: the gateway sends the server a token for it).

Conditional Access, which only a call meets: run this, and sign in as bob. His first call sends the
client to sign him in once more, which asks for the code {code}, and then works.
  curl -d '{{"user":"{bob}","demanded":true}}' {emulator_url}/control/demand-mfa-at-obo

Ctrl-C ends it; nothing is kept.
Started again? Remove the server from your client and add it anew.

"#
        )
    }
}

/// Whom to sign in as, and why.
const USERS: [(&str, &str); 4] = [
    (builtin::ALICE, ""),
    (builtin::BOB, ""),
    (builtin::MALLORY_MFA, "  (second factor: 123456)"),
    (builtin::DISABLED, "  (may not sign in)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_to_paste() {
        let page = Demonstration {
            mcp_url: "http://127.0.0.1:8000/mcp",
            issuer: "http://127.0.0.1:8000",
            emulator_url: "http://127.0.0.1:8400",
        };
        let page = page.to_string();
        for line in [
            "claude mcp add --transport http entrada-demo http://127.0.0.1:8000/mcp\n",
            "{ \"servers\": { \"entrada-demo\": { \"type\": \"http\", \"url\": \
             \"http://127.0.0.1:8000/mcp\" } } }\n",
            "curl -i http://127.0.0.1:8000/mcp\n",
            "Sign in, with the password `password`, as\n  alice@contoso.onmicrosoft.com\n",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
        assert!(page.contains(builtin::MFA_CODE));
    }
}
