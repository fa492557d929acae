//! Example callers, and what is expected to become of their calls: a test of a policy.
//!
//! ```toml
//! [caller.reader]
//! scopes = ["orders.read"]
//!
//! [[case]]
//! caller = "reader"
//! call = "tools/call delete_order"
//! expect = "step-up"
//! scopes = ["orders.write"]
//! ```

mod file;

use std::collections::BTreeMap;
use std::fmt;

use entrada::access_token::{PrincipalKind, TokenFacts};
use entrada::oauth::client::ClientId;
use entrada::oauth::scope::Scope;
use entrada::platform::Timestamp;
use serde::Serialize;

use super::{Call, Outcome, Policy};
use crate::config::nearest_of;
use crate::message::{Item, ItemKind};
use crate::policy::cases::file::{Caller, CaseTable, Content, Expected, Kind, WhichCaller};

/// Example callers, and what is expected of a policy.
#[derive(Debug)]
pub struct Cases {
    cases: Vec<Case>,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// File and line.
    pub place: String,
    /// What the case is called, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was called.
    pub call: Vec<String>,
    /// What was expected.
    pub expected: String,
    /// What came of it.
    pub got: String,
    /// Why.
    pub reason: String,
    /// The rule that decided, by file and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether one is the other.
    pub passed: bool,
}

#[derive(Debug)]
struct Case {
    place: String,
    name: Option<String>,
    route: Option<String>,
    caller: TokenFacts,
    calls: Vec<(String, Option<Item>)>,
    expected: Expected,
    scopes: Option<Scope>,
}

impl Cases {
    /// Reads `text`, the content of the file called `name`.
    ///
    /// # Errors
    ///
    /// What is wrong, each with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<String>> {
        let at = |start: usize| {
            let before = text.get(..start).unwrap_or(text);
            format!("{name}:{}", before.matches('\n').count() + 1)
        };
        let read = Content::read(text, &at);
        let (mut cases, mut wrong) = (Vec::new(), read.wrong);
        for (table, start) in read.cases {
            let place = at(start);
            match Case::read(table, place.clone(), &read.callers) {
                Ok(case) => cases.push(case),
                Err(what) => wrong.push(format!("{place}: {what}")),
            }
        }
        if wrong.is_empty() && cases.is_empty() {
            wrong.push(format!("{name}: there is no [[case]]"));
        }
        if wrong.is_empty() {
            Ok(Self { cases })
        } else {
            Err(wrong)
        }
    }

    /// What becomes of each case under `policies`, of which each is for one server.
    ///
    /// # Errors
    ///
    /// Which cases are for a server that is not there, or call what nobody means.
    pub fn run(&self, policies: &[Policy]) -> Result<Vec<Report>, Vec<String>> {
        let (mut reports, mut wrong) = (Vec::new(), Vec::new());
        for case in &self.cases {
            let policy = case.policy(policies);
            match policy.and_then(|policy| case.is_spelled_for(policy).map(|()| policy)) {
                Ok(policy) => reports.push(case.run(policy)),
                Err(what) => wrong.push(format!("{}: {what}", case.place)),
            }
        }
        if wrong.is_empty() {
            Ok(reports)
        } else {
            Err(wrong)
        }
    }
}

impl Case {
    fn read(
        case: CaseTable,
        place: String,
        callers: &BTreeMap<String, Caller>,
    ) -> Result<Self, String> {
        let caller = match &case.caller {
            WhichCaller::Described(caller) => caller,
            WhichCaller::Named(name) => {
                callers.get(name).ok_or_else(|| no_caller(name, callers))?
            }
        };
        let calls = case.calls.iter().map(|call| parse(call));
        let scopes = case.scopes.map(|scopes| Scope::parse(&scopes.join(" ")));
        if scopes.is_some() && case.expected != Expected::StepUp {
            return Err("scopes are expected with expect = \"step-up\" alone".to_owned());
        }
        Ok(Self {
            place,
            name: case.name,
            route: case.route,
            caller: caller.facts()?,
            calls: calls.collect::<Result<_, _>>()?,
            expected: case.expected,
            scopes: scopes
                .transpose()
                .map_err(|error| format!("scopes: {error}"))?,
        })
    }

    fn policy<'a>(&self, policies: &'a [Policy]) -> Result<&'a Policy, String> {
        match (&self.route, policies) {
            (None, [only]) => Ok(only),
            (None, _) => Err("there are several servers: write route, with a path".to_owned()),
            (Some(route), all) => all
                .iter()
                .find(|policy| policy.route == *route)
                .ok_or_else(|| format!("there is no server at {route}")),
        }
    }

    /// Whether no method is misspelt. A rule may speak of one that is not MCP's and looks like one that is.
    fn is_spelled_for(&self, policy: &Policy) -> Result<(), String> {
        let methods = self.calls.iter().map(|(method, _)| method);
        let mut others = methods.filter(|method| !policy.speaks_of(method));
        let misspelt = others.find_map(|method| Some((method, meant_by(method)?)));
        misspelt.map_or(Ok(()), |(method, meant)| Err(no_method(method, meant)))
    }

    fn run(&self, policy: &Policy) -> Report {
        let calls: Vec<Call<'_>> = self
            .calls
            .iter()
            .map(|(method, item)| Call {
                method,
                item: item.as_ref(),
            })
            .collect();
        let decision = policy.decide_on(&calls, &self.caller);
        let (got, told) = match &decision.outcome {
            Outcome::Allowed => (Expected::Allow, None),
            Outcome::InsufficientScope(scope) => (Expected::StepUp, Some(scope)),
            Outcome::Denied(_) | Outcome::Unread => (Expected::Deny, None),
        };
        let is_expected =
            got == self.expected || (got == Expected::StepUp && self.expected == Expected::Deny);
        let has_scopes = self
            .scopes
            .as_ref()
            .is_none_or(|scopes| told == Some(scopes));
        let calls = decision.called.iter();
        Report {
            place: self.place.clone(),
            name: self.name.clone(),
            call: calls.map(ToString::to_string).collect(),
            expected: worded(self.expected, self.scopes.as_ref()),
            got: worded(got, told),
            reason: match (decision.subject(), decision.at) {
                (Some(called), Some(_)) => format!("{called}: {}", decision.outcome),
                _ => decision.outcome.to_string(),
            },
            rule: decision.rule.map(|rule| rule.to_string()),
            passed: is_expected && has_scopes,
        }
    }
}

impl Caller {
    fn facts(&self) -> Result<TokenFacts, String> {
        let client = self.client.as_deref().unwrap_or("example-client");
        let client = ClientId::parse(client).map_err(|error| format!("client: {error}"))?;
        let subject = self.subject.clone();
        let subject = subject.unwrap_or_else(|| "example-subject".to_owned());
        let issuer = "https://issuer.example".to_owned();
        let mut facts = TokenFacts::new(issuer, subject, client, Timestamp::from_unix(u64::MAX));
        let scope = Scope::parse(&self.scopes.join(" "));
        facts.scope = scope.map_err(|error| format!("scopes: {error}"))?;
        let principal = &mut facts.principal;
        principal.kind = match self.kind {
            Kind::User => PrincipalKind::User,
            Kind::Application => PrincipalKind::Application,
        };
        principal.roles.clone_from(&self.roles);
        principal.groups.clone_from(&self.groups);
        principal.groups_overage = self.groups_overage;
        principal.tenant_id.clone_from(&self.tenant);
        principal.object_id.clone_from(&self.object_id);
        principal.is_guest = self.guest;
        Ok(facts)
    }
}

/// A method, and the name of what it is asked of.
fn parse(call: &str) -> Result<(String, Option<Item>), String> {
    let (method, name) = call.split_once(' ').unwrap_or((call, ""));
    let kind = match method {
        "tools/call" => ItemKind::Tool,
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => ItemKind::Resource,
        "completion/complete" if name.contains(':') => ItemKind::Resource,
        "prompts/get" | "completion/complete" => ItemKind::Prompt,
        _ if name.is_empty() => return Ok((method.to_owned(), None)),
        _ => {
            return Err(match meant_by(method) {
                Some(meant) => no_method(method, meant),
                None => format!("{method:?} names nothing: write the method alone"),
            });
        }
    };
    if name.is_empty() {
        return Err(format!(
            "{method:?} names something: write \"{method} NAME\""
        ));
    }
    Ok((method.to_owned(), Some(Item::new(kind, name))))
}

/// The method of MCP's that is meant, where `method` is none and looks like one.
fn meant_by(method: &str) -> Option<&'static str> {
    let is_one = super::methods().any(|known| known == method);
    if is_one {
        None
    } else {
        nearest_of(method, super::methods())
    }
}

fn no_method(method: &str, meant: &str) -> String {
    format!("MCP has no method {method:?}: is {meant} meant?")
}

fn no_caller(name: &str, callers: &BTreeMap<String, Caller>) -> String {
    let meant = nearest_of(name, callers.keys().map(String::as_str));
    let meant = meant.map_or_else(String::new, |meant| format!(": is {meant} meant?"));
    format!("there is no [caller.{name}]{meant}")
}

fn worded(what: Expected, scopes: Option<&Scope>) -> String {
    match (what, scopes) {
        (Expected::Allow, _) => "allow".to_owned(),
        (Expected::Deny, _) => "deny".to_owned(),
        (Expected::StepUp, None) => "step-up".to_owned(),
        (Expected::StepUp, Some(scopes)) => format!("step-up to {scopes}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed { "ok  " } else { "FAIL" };
        write!(f, "{verdict} {}", self.place)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        write!(f, ": {}: {}", self.call.join(", "), self.got)?;
        if self.passed {
            return Ok(());
        }
        write!(f, ", expected {}\n     {}", self.expected, self.reason)?;
        match &self.rule {
            Some(rule) => write!(f, " ({rule})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
