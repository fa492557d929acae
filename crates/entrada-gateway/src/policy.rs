//! Who may call what.
//!
//! Rules name tools, prompts, resources and methods, and say what their callers must have, in the
//! words of the library's [`Requirement`]. All rules that name what is called must be met. What no
//! rule names may be called by nobody, unless [`WithoutRule::Allow`] is said. Cedar policies, where
//! there are some, must allow it besides (feature `cedar`).

pub mod cases;
mod cedar;
mod decision;
pub(crate) mod gate;
mod list;
mod pattern;
mod rule;

use std::str::FromStr;
use std::sync::Arc;

use entrada::access_token::{Shortfall, TokenFacts};
use entrada::oauth::scope::Scope;
use entrada::policy::Requirement;

pub use cedar::{CedarError, CedarPolicies};
pub use decision::{Called, Decision, Denial, Outcome};
pub use pattern::Pattern;
pub use rule::{Named, Rule};

use crate::message::{Item, ItemKind, Message, Messages};

/// Who may call what at one MCP server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Policy {
    /// What Cedar policies and test cases call the server: its path below the base URL.
    pub route: String,
    /// All of those that name what is called must be met.
    pub rules: Vec<Rule>,
    /// What becomes of what no rule names.
    pub without_rule: WithoutRule,
    /// What must allow a call besides.
    pub cedar: Option<Arc<CedarPolicies>>,
    /// What callers see in lists.
    pub filter_lists: FilterLists,
}

/// What becomes of what no rule names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the configuration names every variant"
)]
pub enum WithoutRule {
    /// Nobody may call it.
    #[default]
    Deny,
    /// Whoever is let in may call it.
    ///
    /// # Security
    ///
    /// A tool that the server has from tomorrow on is everybody's.
    Allow,
}

impl FromStr for WithoutRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "deny" => Ok(Self::Deny),
            "allow" => Ok(Self::Allow),
            _ => Err("write deny or allow".to_owned()),
        }
    }
}

/// What callers see in lists of tools, prompts and resources.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the configuration names every variant"
)]
pub enum FilterLists {
    /// All there is: lists go through unread.
    #[default]
    Off,
    /// What they may call.
    Allowed,
    /// That, and what they may call once they have asked for more scopes: a client that does not
    /// see a tool never asks for them.
    Reachable,
}

impl FromStr for FilterLists {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "false" => Ok(Self::Off),
            "true" => Ok(Self::Allowed),
            "reachable" => Ok(Self::Reachable),
            _ => Err("write true, false or reachable".to_owned()),
        }
    }
}

/// One thing that is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) item: Option<&'a Item>,
}

impl<'a> Call<'a> {
    /// What `message` calls: one thing, mostly.
    pub(crate) fn all_of(message: &'a Message) -> impl Iterator<Item = Self> {
        let method = message.method.as_deref();
        let items = message.items.iter().map(Some);
        let alone = message.items.is_empty().then_some(None);
        let items = items.chain(alone);
        items.filter_map(move |item| {
            Some(Self {
                method: method?,
                item,
            })
        })
    }

    fn called(self) -> Called {
        Called {
            method: self.method.to_owned(),
            item: self.item.cloned(),
        }
    }
}

impl Policy {
    /// Whether it says anything: otherwise nothing is read.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.cedar.is_none()
    }

    /// Whether `caller` may call all that `messages` call.
    pub fn decide(&self, messages: &Messages, caller: &TokenFacts) -> Decision {
        let calls: Vec<_> = messages.messages.iter().flat_map(Call::all_of).collect();
        self.decide_on(&calls, caller)
    }

    /// Whether `caller` may call all of `calls`.
    pub(crate) fn decide_on(&self, calls: &[Call<'_>], caller: &TokenFacts) -> Decision {
        let judged = self.judge(calls, caller);
        Decision {
            called: calls.iter().map(|call| call.called()).collect(),
            outcome: judged.outcome,
            at: judged.at,
            rule: judged.rule.map(|rule| Arc::clone(&rule.place)),
        }
    }

    /// Whether a rule names this very method.
    fn speaks_of(&self, method: &str) -> bool {
        let mut named = self.rules.iter().flat_map(|rule| &rule.methods);
        named.any(|pattern| pattern.is(method))
    }

    /// Whether `caller` is to see `item` in a list.
    pub(crate) fn shows(&self, item: &Item, caller: &TokenFacts) -> bool {
        let call = Call {
            method: item.kind.method(),
            item: Some(item),
        };
        match self.judge(&[call], caller).outcome {
            Outcome::Allowed => true,
            Outcome::InsufficientScope(_) => self.filter_lists == FilterLists::Reachable,
            Outcome::Denied(_) | Outcome::Unread => false,
        }
    }

    /// The same without a copy of what was called.
    fn judge<'a>(&'a self, calls: &[Call<'_>], caller: &TokenFacts) -> Judged<'a> {
        let mut bound = Vec::new();
        let mut lacking = None;
        for (at, call) in calls.iter().enumerate() {
            match self.binding(*call, caller, &mut bound) {
                Ok(None) => {}
                Ok(Some(rule)) => lacking = lacking.or(Some((at, rule))),
                Err((rule, denial)) => return Judged::denied(denial, at, rule),
            }
        }
        let needed = lacking.map(|(at, rule)| (at, rule, scopes_of(&bound, caller)));
        if let Some(cedar) = &self.cedar {
            // With the scopes it is told to ask for: where those would not help, none are told.
            let mut stepped_up = None;
            if let Some((_, _, scope)) = &needed {
                let mut facts = caller.clone();
                facts.scope = facts.scope.union(scope);
                stepped_up = Some(facts);
            }
            let caller = stepped_up.as_ref().unwrap_or(caller);
            let calls = calls.iter().enumerate();
            for (at, call) in
                calls.filter(|(_, call)| call.item.is_some() || !is_plain(call.method))
            {
                if let Err(denial) = self.permitted(cedar, *call, caller) {
                    return Judged::denied(denial, at, None);
                }
            }
        }
        match needed {
            None => Judged {
                outcome: Outcome::Allowed,
                at: None,
                rule: bound.first().copied(),
            },
            Some((at, rule, scope)) => Judged {
                outcome: Outcome::InsufficientScope(scope),
                at: Some(at),
                rule: Some(rule),
            },
        }
    }

    /// Whether Cedar policies permit a call: of a URI that may be written in several ways, in each of two.
    fn permitted(
        &self,
        cedar: &CedarPolicies,
        call: Call<'_>,
        caller: &TokenFacts,
    ) -> Result<(), Denial> {
        cedar.decide(call, &self.route, caller)?;
        let uri = call.item.filter(|item| item.kind == ItemKind::Resource);
        let Some(plain) = uri.and_then(|item| pattern::plain(&item.name)) else {
            return Ok(());
        };
        let item = Some(&Item::new(ItemKind::Resource, plain));
        cedar.decide(Call { item, ..call }, &self.route, caller)
    }

    /// Adds the rules that name what is called to `bound`; the first for which scopes are lacking.
    ///
    /// # Errors
    ///
    /// Why no scope helps.
    fn binding<'a>(
        &'a self,
        call: Call<'_>,
        caller: &TokenFacts,
        bound: &mut Vec<&'a Rule>,
    ) -> Result<Option<&'a Rule>, (Option<&'a Rule>, Denial)> {
        let mut is_named = self.rules.is_empty()
            || self.without_rule == WithoutRule::Allow
            || (call.item.is_none() && is_plain(call.method));
        let mut lacking = None;
        for rule in &self.rules {
            let named = rule.names(call.method, call.item);
            is_named |= named == Named::Exactly;
            if named == Named::Not {
                continue;
            }
            if rule.denies {
                return Err((Some(rule), Denial::Rule));
            }
            match rule.requirement.decide(caller) {
                Ok(()) => {}
                Err(Shortfall::Scope(_)) => lacking = lacking.or(Some(rule)),
                Err(Shortfall::Other(lack)) => {
                    return Err((Some(rule), Denial::Lacks(lack)));
                }
                Err(_) => return Err((Some(rule), Denial::Rule)),
            }
            if !bound.iter().any(|known| std::ptr::eq(*known, rule)) {
                bound.push(rule);
            }
        }
        if !is_named {
            return Err((None, Denial::NoRule));
        }
        if let Some(item) = call.item
            && item.kind == ItemKind::Resource
            && (self.cedar.is_some() || self.rules.iter().any(Rule::speaks_of_resources))
            && crate::upstream::target::climbs(&item.name)
        {
            return Err((None, Denial::Climbs));
        }
        Ok(lacking)
    }
}

/// The scopes that all of `rules` take together, in one challenge (MCP authorization, *Server Scope
/// Management*).
fn scopes_of(rules: &[&Rule], caller: &TokenFacts) -> Scope {
    let requirements = rules.iter().map(|rule| rule.requirement.clone());
    match Requirement::all(requirements).decide(caller) {
        Err(Shortfall::Scope(scope)) => scope,
        // Each by itself is met, or would be with scopes.
        Ok(()) | Err(_) => Scope::default(),
    }
}

/// A decision, as far as it had to be made.
struct Judged<'a> {
    outcome: Outcome,
    at: Option<usize>,
    rule: Option<&'a Rule>,
}

impl<'a> Judged<'a> {
    const fn denied(denial: Denial, at: usize, rule: Option<&'a Rule>) -> Self {
        Self {
            outcome: Outcome::Denied(denial),
            at: Some(at),
            rule,
        }
    }
}

/// Whether `method` is one that MCP needs to work, and that calls nothing by name: no rule must
/// name it. `GET` and `DELETE` stand for requests without a message.
fn is_plain(method: &str) -> bool {
    PLAIN.contains(&method) || method.starts_with("notifications/")
}

/// The methods of MCP's that clients call.
fn methods() -> impl Iterator<Item = &'static str> {
    PLAIN.into_iter().chain(NAMING)
}

/// Those that name what is called.
const NAMING: [&str; 6] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
];

const PLAIN: [&str; 16] = [
    "GET",
    "DELETE",
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "subscriptions/listen",
    "logging/setLevel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tasks/cancel",
];

#[cfg(test)]
mod tests;
