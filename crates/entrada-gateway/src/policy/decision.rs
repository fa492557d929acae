//! What was decided, for whoever writes it down.

use std::fmt;
use std::sync::Arc;

use entrada::access_token::{Claimed, Lack};
use entrada::oauth::scope::Scope;

use crate::message::Item;

/// What was decided of a request, and why. It is in the extensions of the response.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// What was called: nothing, where the request holds responses alone or could not be read.
    pub called: Vec<Called>,
    /// Whether it may be.
    pub outcome: Outcome,
    /// Which of `called` it was decided by, where one was refused.
    pub at: Option<usize>,
    /// The rule that decided, by file and line: the first that applied, where all is allowed.
    pub rule: Option<Arc<str>>,
}

/// Something that was called.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Called {
    /// The method of MCP; `GET` or `DELETE`, where there is no message.
    pub method: String,
    /// The tool, prompt or resource, where one is named.
    pub item: Option<Item>,
}

/// Whether something may be called.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It may.
    Allowed,
    /// It may with these scopes, of which some are there already: 403 `insufficient_scope`.
    InsufficientScope(Scope),
    /// It may not: 403 `access_denied`.
    Denied(Denial),
    /// It could not be told what was called: 400, or 415.
    Unread,
}

/// Why something may not be called.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// No rule names it.
    #[error("no rule names it")]
    NoRule,
    /// A rule denies it to everybody.
    #[error("a rule denies it to everybody")]
    Rule,
    /// The caller lacks what no scope makes up for.
    #[error("{0}")]
    Lacks(Lack),
    /// The URI leads upwards, in some reading: it is not what a rule says of it.
    #[error("the URI may be read as one that leads upwards")]
    Climbs,
    /// No Cedar policy permits it, or one of these forbids it.
    #[error("{}", policies(.0))]
    Policies(Vec<String>),
    /// The Cedar policies cannot be held against the caller, for this reason.
    #[error("the policies cannot be evaluated: {0}")]
    Unevaluated(String),
    /// A request of this kind carries no message of MCP's.
    #[error("it is no request of MCP's")]
    Method,
}

impl Denial {
    /// The same for the caller: which role it takes is the operator's affair.
    pub const fn told(&self) -> &'static str {
        match self {
            Self::NoRule => "no rule allows what was called",
            Self::Rule | Self::Policies(_) | Self::Unevaluated(_) => {
                "what was called is not allowed here"
            }
            Self::Climbs => "the URI may be read as one that leads upwards",
            Self::Method => "this is no request of an MCP client",
            Self::Lacks(lack) => match lack {
                Lack::Roles(_) => "what was called takes an app role that the caller does not have",
                Lack::Groups(_) => "what was called is for groups that the caller is not in",
                Lack::GroupsUnknown(_) => {
                    "what was called is for groups, and the caller is in more than can be told"
                }
                Lack::Tenants(_) => "what was called is for other tenants",
                Lack::Clients(_) => "what was called is for other clients",
                Lack::Kind(_)
                | Lack::EntraLogin
                | Lack::Administrator(_)
                | Lack::Impossible(_)
                | _ => "what was called is not for callers of this kind",
            },
        }
    }
}

fn policies(forbidding: &[String]) -> String {
    if forbidding.is_empty() {
        "no policy permits it".to_owned()
    } else {
        format!("forbidden by the policies {}", forbidding.join(", "))
    }
}

impl Decision {
    /// What a request came to that could not be read.
    pub(super) const fn unread() -> Self {
        Self {
            called: Vec::new(),
            outcome: Outcome::Unread,
            at: None,
            rule: None,
        }
    }

    /// What was refused, or the first that was called.
    pub fn subject(&self) -> Option<&Called> {
        self.called.get(self.at.unwrap_or_default())
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            Some(item) => write!(f, "{} {}", self.method, Claimed::new(&item.name)),
            None => write!(f, "{}", Claimed::new(&self.method)),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::InsufficientScope(scope) => write!(f, "it needs the scopes {scope}"),
            Self::Denied(denial) => denial.fmt(f),
            Self::Unread => f.write_str("what was called cannot be told"),
        }
    }
}
