//! What the tokens of agent identities say that others do not (Microsoft Entra Agent ID).
//!
//! An agent identity is an application made from a blueprint, which is an application too. Its tokens
//! name the blueprint in `xms_par_app_azp`, for logs and not for decisions: a blueprint has many
//! agents. What the actor (`azp`, `appid`) is stands in `xms_act_fct`, what the subject is in
//! `xms_sub_fct`, what the tenant is in `xms_tnt_fct`, and how the subject belongs to the tenant in
//! `xms_idrel`. Each holds numbers with spaces between them, in no order, of which only some are
//! documented: 11 is an agent identity, 13 the account of an agent; 1 a member, 5 a guest, 7 a service
//! principal. Whoever reads them is to look for the number and ignore the others, so that others are
//! here too, as in the documentation's example. Acting for itself, an agent is actor and subject; for
//! a person, only the actor; through an account of its own, the subject is that account.
//!
//! An agent identity has no secret. It shows an assertion of its blueprint's, which counts as a
//! certificate (`azpacr` 2).

use crate::access_token::ClientProof;
use crate::directory::app::App;
use crate::directory::user::User;
use crate::jwt::Claims;

/// Whom an agent's token is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The agent itself.
    Agent,
    /// A person, or an account of the agent's own.
    User(&'a User),
}

/// The claims of an agent identity, if `client` is one.
pub(super) fn put_agent(claims: &mut Claims, client: &App, subject: Subject<'_>) {
    let Some(blueprint) = client.agent_blueprint.as_deref() else {
        return;
    };
    let (idtyp, relation, facets) = match subject {
        Subject::Agent => ("app", "7 10", Some("9 3 11")),
        Subject::User(user) => {
            let relation = if user.is_guest() { "5" } else { "1" };
            ("user", relation, user.is_agent.then_some("3 13"))
        }
    };
    claims.put("idtyp", idtyp);
    claims.put("xms_act_fct", "3 9 11");
    claims.put("xms_idrel", relation);
    claims.put_some("xms_sub_fct", facets);
    claims.put("xms_tnt_fct", "3 9");
    claims.put("xms_par_app_azp", blueprint);
}

/// What `client` is taken to have shown.
pub(super) fn proof(client: &App, shown: ClientProof) -> ClientProof {
    if client.agent_blueprint.is_some() {
        ClientProof::Certificate
    } else {
        shown
    }
}
