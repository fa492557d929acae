//! The token of an application signed in as itself.

use crate::access_token::agent::{Subject, proof, put_agent};
use crate::access_token::optional::audience;
use crate::access_token::{AppOnly, Mint, aio, rh, version};
use crate::directory::user::roles_at;
use crate::jwt::{Claims, Draft};
use crate::random;
use crate::version::Version;

impl Mint<'_> {
    /// The token of an application signed in as itself.
    pub(crate) fn app_only(&self, request: &AppOnly<'_>) -> Draft {
        let AppOnly {
            tenant,
            client,
            resource,
            ..
        } = request;
        let version = version(resource);
        let (audience, issuer, azp, azpacr, ver) = match version {
            Version::V1 => {
                let issuer = self.place.v1_issuer(&tenant.id);
                let audience = audience(resource, request.audience);
                (audience, issuer, "appid", "appidacr", "1.0")
            }
            Version::V2 => {
                let issuer = self.place.issuer_of(tenant);
                (resource.client_id.as_str(), issuer, "azp", "azpacr", "2.0")
            }
        };
        let object_id = client.object_id();
        let mut claims = Claims::default();
        claims.put("aud", audience);
        claims.put("iss", issuer.as_str());
        self.put_times(&mut claims);
        claims.put("aio", aio(false, 0));
        claims.put(azp, client.client_id.as_str());
        claims.put(azpacr, proof(client, request.proof).acr());
        if version == Version::V1 {
            claims.put("idp", issuer);
        }
        let wanted = &resource.optional_claims.access_token;
        if resource.is_graph() || wanted.iter().any(|name| name == "idtyp") {
            claims.put("idtyp", "app");
        }
        claims.put("oid", object_id.as_str());
        claims.put("rh", rh());
        claims.put_list(
            "roles",
            roles_at(&client.app_role_assignments, &resource.client_id),
        );
        claims.put("sub", object_id);
        claims.put("tid", tenant.id.as_str());
        claims.put("uti", random::opaque(16));
        claims.put("ver", ver);
        put_agent(&mut claims, client, Subject::Agent);
        if resource.group_membership_claims.lists_groups() {
            self.put_groups_of(&mut claims, client, &tenant.id);
        }
        self.draft(version, claims, resource)
    }
}
