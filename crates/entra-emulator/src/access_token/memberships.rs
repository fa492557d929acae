//! Groups and directory roles, or where to look them up.

use serde_json::json;

use crate::access_token::Mint;
use crate::directory::app::App;
use crate::jwt::Claims;
use crate::scope::Party;

/// How many groups a token lists at most.
const LIMIT: usize = 200;

impl Mint<'_> {
    /// `groups`, or where to look them up, and `wids`.
    pub(crate) fn put_memberships(&self, claims: &mut Claims, party: &Party<'_>, app: &App) {
        if app.group_membership_claims.lists_groups() {
            let groups = party.user.all_groups();
            if groups.len() > LIMIT {
                let endpoint = format!(
                    "https://{}/{}/users/{}/getMemberObjects",
                    self.place.cloud.names().directory_host,
                    party.tenant.id,
                    party.user.oid
                );
                claims.put("_claim_names", json!({"groups": "src1"}));
                claims.put("_claim_sources", json!({"src1": {"endpoint": endpoint}}));
            } else {
                claims.put_list("groups", groups);
            }
        }
        if app.group_membership_claims.lists_directory_roles() {
            claims.put_list("wids", party.user.directory_roles.clone());
        }
    }
}
