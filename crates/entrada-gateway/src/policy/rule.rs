//! One rule.

use std::sync::Arc;

use entrada::oauth::scope::Scope;
use entrada::policy::Requirement;

use super::Pattern;
use super::pattern::flat;
use crate::message::{Item, ItemKind, folded};

/// What callers of some tools, prompts, resources or methods must have.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// File and line.
    pub place: Arc<str>,
    /// The tools it names.
    pub tools: Vec<Pattern>,
    /// The prompts it names.
    pub prompts: Vec<Pattern>,
    /// The resources it names, by URI.
    pub resources: Vec<Pattern>,
    /// The methods it names.
    pub methods: Vec<Pattern>,
    /// What a caller must have.
    pub requirement: Requirement,
    /// Whether it is nobody's, whatever they have.
    pub denies: bool,
    /// Every scope it speaks of.
    pub scopes: Scope,
    /// Whether it speaks of groups.
    pub speaks_of_groups: bool,
    /// Whether a role lets callers in whichever tenant gave it to them.
    pub takes_roles_of_any_tenant: bool,
}

/// Whether a rule names something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way")]
pub enum Named {
    /// It does.
    Exactly,
    /// It does not allow it, and must be met: it names its method, or the same name in other
    /// letters, or the same URI written otherwise, which the server may not tell apart.
    Bound,
    /// It has nothing to do with it.
    Not,
}

impl Rule {
    /// A rule that names nothing yet and requires nothing; `place` is where it stands.
    pub fn new(place: impl Into<Arc<str>>) -> Self {
        Self {
            place: place.into(),
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            methods: Vec::new(),
            requirement: Requirement::nothing(),
            denies: false,
            scopes: Scope::default(),
            speaks_of_groups: false,
            takes_roles_of_any_tenant: false,
        }
    }

    /// Whether it names `item`, asked for by `method`; or the method, where that is all.
    pub fn names(&self, method: &str, item: Option<&Item>) -> Named {
        let by_method = look_for(&self.methods, method);
        let Some(item) = item else {
            return by_method;
        };
        match (look_for_item(self.of(item.kind), item), by_method) {
            (Named::Exactly, _) => Named::Exactly,
            (Named::Not, Named::Not) => Named::Not,
            (Named::Bound | Named::Not, _) => Named::Bound,
        }
    }

    /// Whether it names any resource.
    pub(super) fn speaks_of_resources(&self) -> bool {
        !self.resources.is_empty()
    }

    /// Whether it names nothing at all.
    pub fn is_about_nothing(&self) -> bool {
        let all = [&self.tools, &self.prompts, &self.resources, &self.methods];
        all.into_iter().all(Vec::is_empty)
    }

    fn of(&self, kind: ItemKind) -> &[Pattern] {
        match kind {
            ItemKind::Tool => &self.tools,
            ItemKind::Prompt => &self.prompts,
            ItemKind::Resource => &self.resources,
        }
    }
}

/// A URI may besides be written in many ways, and a server take it for the one of a rule.
fn look_for_item(patterns: &[Pattern], item: &Item) -> Named {
    let named = look_for(patterns, &item.name);
    if named != Named::Not || item.kind != ItemKind::Resource || patterns.is_empty() {
        return named;
    }
    let flat = flat(&item.name);
    if patterns.iter().any(|pattern| pattern.resembles_uri(&flat)) {
        Named::Bound
    } else {
        Named::Not
    }
}

fn look_for(patterns: &[Pattern], name: &str) -> Named {
    if patterns.iter().any(|pattern| pattern.matches(name)) {
        return Named::Exactly;
    }
    if patterns.is_empty() {
        return Named::Not;
    }
    let small = folded(name);
    if patterns.iter().any(|pattern| pattern.resembles(&small)) {
        Named::Bound
    } else {
        Named::Not
    }
}
