//! Policies, read and evaluated.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use entrada::access_token::{PrincipalKind, TokenFacts};
use miette::Diagnostic;

use super::CedarError;
use crate::message::{Item, ItemKind, folded};
use crate::policy::pattern::flat;
use crate::policy::{Call, Denial};

/// Policies in Cedar, checked against the schema of the gateway.
pub struct CedarPolicies {
    policies: PolicySet,
    names: Names,
    authorizer: Authorizer,
    /// Whether any speaks of groups.
    speaks_of_groups: bool,
}

/// What can be asked about.
struct Names {
    user: EntityTypeName,
    application: EntityTypeName,
    route: EntityTypeName,
    tool: EntityTypeName,
    prompt: EntityTypeName,
    resource: EntityTypeName,
    action: EntityTypeName,
}

/// What the policies may speak of.
const SCHEMA: &str = include_str!("../entrada.cedarschema");

impl CedarPolicies {
    /// Reads the policies in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`CedarError`] with everything that is wrong, each with its line.
    pub fn read(path: &Path) -> Result<Self, CedarError> {
        let text = std::fs::read_to_string(path).map_err(CedarError::Unreadable)?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads `text`, the content of the file called `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, CedarError> {
        let found = |error: &dyn Diagnostic| told(name, text, error);
        let policies: PolicySet = match text.parse() {
            Ok(policies) => policies,
            Err(errors) => {
                let errors: &cedar_policy::ParseErrors = &errors;
                let all = errors.iter().map(|error| found(error));
                return Err(CedarError::Wrong(all.collect()));
            }
        };
        if policies.num_of_policies() == 0 || policies.num_of_templates() > 0 {
            let what = "write policies, at least one, and no templates";
            return Err(CedarError::Wrong(vec![format!("{name}: {what}")]));
        }
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| CedarError::Wrong(vec![error.to_string()]))?;
        let validated = Validator::new(schema).validate(&policies, ValidationMode::default());
        let errors: Vec<String> = validated
            .validation_errors()
            .map(|error| found(error))
            .collect();
        if !errors.is_empty() {
            return Err(CedarError::Wrong(errors));
        }
        Ok(Self {
            policies,
            names: Names::new().map_err(|what| CedarError::Wrong(vec![what]))?,
            authorizer: Authorizer::new(),
            // In a comment too: then more is refused than must be.
            speaks_of_groups: text.contains("groups") || text.contains('\\'),
        })
    }

    /// Whether any of them speaks of groups.
    pub fn speaks_of_groups(&self) -> bool {
        self.speaks_of_groups
    }

    /// Whether the policies permit `call` at `route` to `caller`.
    ///
    /// # Errors
    ///
    /// [`Denial`]: a policy that cannot be evaluated may be one that forbids.
    pub(in crate::policy) fn decide(
        &self,
        call: Call<'_>,
        route: &str,
        caller: &TokenFacts,
    ) -> Result<(), Denial> {
        if self.speaks_of_groups && caller.principal.groups_overage {
            let what = "the caller's groups are too many for a token, and nothing looks them up";
            return Err(Denial::Unevaluated(what.to_owned()));
        }
        let asked = self.question(call, route, caller);
        let (request, entities) = asked.map_err(Denial::Unevaluated)?;
        let answer = self
            .authorizer
            .is_authorized(&request, &self.policies, &entities);
        if let Some(error) = answer.diagnostics().errors().next() {
            return Err(Denial::Unevaluated(error.to_string()));
        }
        match answer.decision() {
            Decision::Allow => Ok(()),
            Decision::Deny => {
                let ids = answer.diagnostics().reason();
                Err(Denial::Policies(ids.map(|id| self.name_of(id)).collect()))
            }
        }
    }

    /// What a policy is called: by its `@id`, or else by its place among all.
    fn name_of(&self, id: &cedar_policy::PolicyId) -> String {
        let policy = self.policies.policy(id);
        let given = policy.and_then(|policy| policy.annotation("id"));
        given.map_or_else(|| id.to_string(), str::to_owned)
    }

    fn question(
        &self,
        call: Call<'_>,
        route: &str,
        caller: &TokenFacts,
    ) -> Result<(Request, Entities), String> {
        let principal = self.names.principal(caller)?;
        let route_id = uid(&self.names.route, route);
        let (action, resource, context) = if let Some(item) = call.item {
            let resource = self.names.item(item, &route_id)?;
            (call.method, resource, Context::empty())
        } else {
            let method = RestrictedExpression::new_string(call.method.to_owned());
            let context = Context::from_pairs([("method".to_owned(), method)]);
            let context = context.map_err(|error| error.to_string())?;
            let resource = Entity::new_no_attrs(route_id.clone(), HashSet::new());
            ("other", resource, context)
        };
        let action = uid(&self.names.action, action);
        let request = Request::new(principal.uid(), action, resource.uid(), context, None);
        let request = request.map_err(|error| error.to_string())?;
        let mut all = vec![principal, resource];
        if call.item.is_some() {
            all.push(Entity::new_no_attrs(route_id, HashSet::new()));
        }
        let entities = Entities::from_entities(all, None).map_err(|error| error.to_string())?;
        Ok((request, entities))
    }
}

impl Names {
    fn new() -> Result<Self, String> {
        let name = |name: &str| {
            let parsed = name.parse::<EntityTypeName>();
            parsed.map_err(|error| error.to_string())
        };
        Ok(Self {
            user: name("User")?,
            application: name("Application")?,
            route: name("Route")?,
            tool: name("Tool")?,
            prompt: name("Prompt")?,
            resource: name("Resource")?,
            action: name("Action")?,
        })
    }

    fn principal(&self, caller: &TokenFacts) -> Result<Entity, String> {
        let principal = &caller.principal;
        let tenant = Some(&principal.tenant_id).filter(|tenant| !tenant.is_empty());
        let id = match (tenant, &principal.object_id) {
            (Some(tenant), Some(object)) => format!("{tenant}/{object}"),
            _ => format!("subject/{}", caller.subject),
        };
        let kind = if principal.kind == PrincipalKind::User {
            &self.user
        } else {
            &self.application
        };
        let scopes = caller.scope.iter().map(|scope| scope.as_str().to_owned());
        // Ids of groups are GUIDs, which fold case.
        let groups = principal.groups.iter().map(|id| id.to_ascii_lowercase());
        let mut attributes = HashMap::from([
            ("subject".to_owned(), text(&caller.subject)),
            ("issuer".to_owned(), text(&caller.issuer)),
            (
                "guest".to_owned(),
                RestrictedExpression::new_bool(principal.is_guest),
            ),
            ("client".to_owned(), text(caller.client_id.as_str())),
            ("scopes".to_owned(), set(scopes)),
            ("roles".to_owned(), set(principal.roles.iter().cloned())),
            ("groups".to_owned(), set(groups)),
        ]);
        if let Some(tenant) = tenant {
            attributes.insert("tenant".to_owned(), text(tenant));
        }
        if let Some(object_id) = &principal.object_id {
            attributes.insert("object_id".to_owned(), text(object_id));
        }
        let entity = Entity::new(uid(kind, &id), attributes, HashSet::new());
        entity.map_err(|error| error.to_string())
    }

    fn item(&self, item: &Item, route: &EntityUid) -> Result<Entity, String> {
        let kind = match item.kind {
            ItemKind::Tool => &self.tool,
            ItemKind::Prompt => &self.prompt,
            ItemKind::Resource => &self.resource,
        };
        let folded = match item.kind {
            ItemKind::Tool | ItemKind::Prompt => folded(&item.name),
            ItemKind::Resource => flat(&item.name),
        };
        let attributes = HashMap::from([
            ("name".to_owned(), text(&item.name)),
            ("folded".to_owned(), text(&folded)),
        ]);
        let parents = HashSet::from([route.clone()]);
        let entity = Entity::new(uid(kind, &item.name), attributes, parents);
        entity.map_err(|error| error.to_string())
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn set(items: impl Iterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(items.map(RestrictedExpression::new_string))
}

/// What is wrong, with its line.
fn told(name: &str, text: &str, error: &dyn Diagnostic) -> String {
    let first = error.labels().and_then(|mut labels| labels.next());
    let line = first.map_or(1, |label| {
        let before = text.get(..label.offset()).unwrap_or(text);
        before.matches('\n').count() + 1
    });
    format!("{name}:{line}: {error}")
}

impl fmt::Debug for CedarPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CedarPolicies")
            .field("policies", &self.policies.num_of_policies())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
