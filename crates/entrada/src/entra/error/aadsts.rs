//! Entra's numbers, and what helps against each.

use super::Remedy;
use super::{DEFAULT_RETRY_AFTER, LOOP_RETRY_AFTER};

/// What a number after `AADSTS` comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    pub(super) remedy: Remedy,
    /// A sentence for whoever runs the server.
    pub(super) advice: &'static str,
}

/// The numbers our requests can meet (Microsoft, *authentication and authorization error codes*).
///
/// Microsoft asks nobody to act on them, for there are always new ones: what is not listed is told
/// by `error` and `suberror`, and so would be what is.
#[expect(clippy::unreadable_literal, reason = "written as they are looked up")]
#[rustfmt::skip]
const MEANINGS: &[(&[u32], Remedy, &str)] = {
    use Remedy::{AskAdmin, Consent, FixConfiguration, Retry, SignInAgain, StepUp};
    &[
    (&[16000, 16001], StepUp, "the user has several accounts signed in and must choose one"),
    (&[28000], FixConfiguration, "the scopes are of several apis: ask for a token of one api at a time"),
    (&[28002, 28003, 70011, 1002012], FixConfiguration, "the scope is not one that entra knows here: a named scope, or {resource}/.default, of one api"),
    (&[50011, 90102, 500113, 900971], FixConfiguration, "the redirect uri is not registered: add it under \"Authentication\", platform Web, letter for letter"),
    (&[50013], FixConfiguration, "the token is not one entra takes as an assertion: it must be an access token for this app registration, signed with entra's own keys"),
    (&[50020], AskAdmin, "the account is not in this tenant: an administrator has to invite it as a guest"),
    (&[50034], SignInAgain, "the account does not exist any more in this tenant"),
    (&[50053], AskAdmin, "the account is locked for too many wrong passwords, or the address is blocked"),
    (&[50055, 50144], SignInAgain, "the user's password has expired, and signing in is where it is changed"),
    (&[50056, 50126], SignInAgain, "the user's password is wrong or has changed"),
    (&[50057], SignInAgain, "the account is disabled: an administrator has to enable it"),
    (&[50058], StepUp, "the user is not signed in at entra in this browser"),
    (&[50059, 90019], FixConfiguration, "nothing names a tenant: set tenant_id to the tenant's id or a verified domain"),
    (&[50072, 50074, 50076, 50079], StepUp, "a conditional access policy wants a second factor"),
    (&[50089, 70008, 700082, 700084, 70043], SignInAgain, "the user's refresh token has expired, or was not used for too long"),
    (&[50105], AskAdmin, "the user is not assigned to the application: assign them, or switch off \"Assignment required\""),
    (&[50125, 50142], StepUp, "the user's password must be changed or reset first"),
    (&[50128, 90002, 900021, 900023], FixConfiguration, "there is no such tenant at this authority: check tenant_id and the cloud"),
    (&[50129, 50131, 53000, 53001, 53002, 53009], StepUp, "a conditional access policy wants another device or app: compliant, joined, or approved"),
    (&[50132, 50133, 50173], SignInAgain, "the user's sessions were revoked, or their password changed"),
    (&[50140, 9002341], StepUp, "the user has to answer a question of entra's"),
    (&[50158], StepUp, "a conditional access policy wants a further check at another provider"),
    (&[50194], FixConfiguration, "the app registration is for one tenant: set tenant_id to that tenant, or make it multi-tenant"),
    (&[50196], Retry(LOOP_RETRY_AFTER), "entra sees the same request too often: something asks in a loop"),
    (&[53003], StepUp, "a conditional access policy does not let a token be issued here"),
    (&[53004], StepUp, "the user has to register for multifactor authentication first"),
    (&[53010, 530034, 530035], AskAdmin, "a security policy blocks the sign-in: an administrator sees why in the sign-in log"),
    (&[54005], SignInAgain, "the code was redeemed before"),
    (&[65001], Consent, "nobody consented to this permission for our app registration: the user can on signing in, or an administrator for everybody"),
    (&[65004], Consent, "the user declined to consent"),
    (&[65002], FixConfiguration, "the api is microsoft's own, and our app registration may not ask for it unless it is preauthorized"),
    (&[65005, 650052, 650056], FixConfiguration, "the app registration lists no permission for the api, or the api is not in the tenant: add it under \"API permissions\""),
    (&[650053, 650057], FixConfiguration, "the api has no such scope, or the app registration does not list the api: check the scope, and \"API permissions\""),
    (&[70000, 700005, 9002313], SignInAgain, "entra does not know its own code or refresh token any more"),
    (&[70001, 700016], FixConfiguration, "the app registration is not in the tenant: check client_id and tenant_id, or have an administrator consent once"),
    (&[70003, 70007, 900144, 900561, 90023], FixConfiguration, "entra does not understand the request: this is a fault of ours, please report it"),
    (&[70012, 90033], Retry(DEFAULT_RETRY_AFTER), "entra is in trouble: it passes"),
    (&[70021, 700211, 700212, 700213, 7002137, 7002138], FixConfiguration, "no federated identity credential of the app registration matches issuer, subject and audience of the assertion, letter for letter; a new one takes some minutes to work"),
    (&[700022, 700023], FixConfiguration, "the scopes are of several apis, or of none"),
    (&[700024], FixConfiguration, "the client assertion is too old or too new: check the clock of this machine"),
    (&[700025], FixConfiguration, "the app registration is a public client: register the redirect uri under the platform Web"),
    (&[700027], FixConfiguration, "the app registration does not list the certificate: upload it under \"Certificates & secrets\""),
    (&[700229], FixConfiguration, "the federated assertion must be an app-only token: a managed identity's"),
    (&[7000112], FixConfiguration, "the application is disabled in this tenant"),
    (&[7000114], FixConfiguration, "the app registration may not act on behalf of users, or the token is an application's"),
    (&[7000215], FixConfiguration, "the client secret is wrong: it must be the secret's value, not its id"),
    (&[7000216, 7000218], FixConfiguration, "the app registration needs a credential: a secret, a certificate or a federated identity"),
    (&[7000222], FixConfiguration, "the client secret has expired: make a new one, or use a certificate or a federated identity"),
    (&[7000229], FixConfiguration, "the application has no service principal in this tenant: an administrator has to consent once"),
    (&[90008, 90009], FixConfiguration, "the app registration asks for a token for itself: name the scope in full"),
    (&[90055], Retry(DEFAULT_RETRY_AFTER), "entra throttles this tenant"),
    (&[90090, 90091, 90093], AskAdmin, "the permission is more than users may consent to: an administrator has to"),
    (&[90094], AskAdmin, "an administrator has to consent to this permission"),
    (&[90095], AskAdmin, "an administrator has to consent, and the user can ask for it on signing in"),
    (&[90124, 90130, 9001023, 9002331, 9002332], FixConfiguration, "the authority does not fit the app registration's kinds of accounts: check tenant_id and \"Supported account types\""),
    (&[240002], FixConfiguration, "an id token was sent where an access token is needed"),
    (&[500011, 500014], FixConfiguration, "the api is not in this tenant, or disabled: check the scope's identifier uri, or have an administrator consent once"),
    (&[500112], FixConfiguration, "the redirect uri changed during a login"),
    (&[500131], FixConfiguration, "the token is for another application than ours: check client_id and identifier_uri, in lower case"),
    (&[500133], SignInAgain, "the user's token had ended: check the clock of this machine if this happens often"),
    (&[501481, 50148], SignInAgain, "the code belongs to another login"),
    (&[530036, 530037], AskAdmin, "a security policy blocks the sign-in: an administrator sees why in the sign-in log"),
    (&[900439], FixConfiguration, "the user is of another cloud: set cloud"),
    (&[901002, 9010010], FixConfiguration, "entra does not take the resource parameter with these scopes: this is a fault of ours, please report it"),
    (&[9002326, 9002327], FixConfiguration, "the redirect uri is registered for single-page applications: register it under the platform Web"),
]};

/// What the first of `codes` that is known comes to.
pub(super) fn meaning(codes: &[u32]) -> Option<Meaning> {
    let known = |code: &u32| MEANINGS.iter().find(|(codes, ..)| codes.contains(code));
    let (_, remedy, advice) = codes.iter().find_map(known)?;
    Some(Meaning {
        remedy: *remedy,
        advice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_listed_twice_and_all_advice_is_a_sentence() {
        let mut all: Vec<_> = MEANINGS.iter().flat_map(|(codes, ..)| *codes).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for (codes, _, advice) in MEANINGS {
            let plain = advice.len() > 20 && !advice.ends_with('.');
            assert!(
                plain && advice.starts_with(|c: char| c.is_lowercase()),
                "{codes:?}"
            );
        }
    }
}
