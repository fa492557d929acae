//! Groups and directory roles, or where to look them up.

use serde_json::json;

use crate::access_token::Mint;
use crate::directory::app::App;
use crate::jwt::Claims;
use crate::scope::Party;

/// How many groups a token lists at most.
const LIMIT: usize = 200;
/// How many a token lists at most that travels in a URL.
const FRONT_CHANNEL_LIMIT: usize = 6;

/// Whose memberships they are.
#[derive(Debug, Clone, Copy)]
struct Member<'a> {
    tenant_id: &'a str,
    /// `users` or `servicePrincipals`.
    kind: &'a str,
    oid: &'a str,
}

impl Mint<'_> {
    /// A user's groups and directory roles, in a token that does not travel in a URL.
    pub(crate) fn put_memberships(&self, claims: &mut Claims, party: &Party<'_>, app: &App) {
        if app.group_membership_claims.lists_groups() {
            let member = Member {
                tenant_id: &party.tenant.id,
                kind: "users",
                oid: &party.user.oid,
            };
            self.put_groups(claims, member, party.user.all_groups());
        }
        put_directory_roles(claims, party, app);
    }

    /// The same in a token from the authorization endpoint.
    pub(crate) fn put_few_memberships(claims: &mut Claims, party: &Party<'_>, app: &App) {
        if app.group_membership_claims.lists_groups() {
            let groups = party.user.all_groups();
            if groups.len() > FRONT_CHANNEL_LIMIT {
                claims.put("hasgroups", true);
            } else {
                claims.put_list("groups", groups);
            }
        }
        put_directory_roles(claims, party, app);
    }

    /// The groups of a service principal.
    pub(super) fn put_groups_of(&self, claims: &mut Claims, client: &App, tenant_id: &str) {
        let member = Member {
            tenant_id,
            kind: "servicePrincipals",
            oid: &client.object_id(),
        };
        self.put_groups(claims, member, client.all_groups());
    }

    fn put_groups(&self, claims: &mut Claims, member: Member<'_>, groups: Vec<String>) {
        if groups.len() <= LIMIT {
            claims.put_list("groups", groups);
            return;
        }
        let endpoint = format!(
            "https://{}/{}/{}/{}/getMemberObjects",
            self.place.cloud.names().directory_host,
            member.tenant_id,
            member.kind,
            member.oid
        );
        claims.put("_claim_names", json!({"groups": "src1"}));
        claims.put("_claim_sources", json!({"src1": {"endpoint": endpoint}}));
    }
}

fn put_directory_roles(claims: &mut Claims, party: &Party<'_>, app: &App) {
    if app.group_membership_claims.lists_directory_roles() {
        claims.put_list("wids", party.user.directory_roles.clone());
    }
}
