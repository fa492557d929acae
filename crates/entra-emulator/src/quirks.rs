//! Where Entra leaves the RFCs, and what the emulator therefore does.
//!
//! | Entra | the RFC |
//! |---|---|
//! | `scope` values carry their resource as a prefix; the last slash divides them | RFC 6749 §3.3 leaves values to the server |
//! | `resource` must equal the prefix of the scopes, else `AADSTS9010010` | RFC 8707 §2: `resource` selects the audience |
//! | the audience of a v2 token is the application id, whatever `resource` said | RFC 8707 §2.2 |
//! | `scp` holds short names, the response's `scope` long ones | RFC 9068 §2.2.3: the claim is `scope` |
//! | a token also carries scopes consented to earlier | RFC 6749 §3.3: at most what was asked |
//! | access tokens have `typ` `JWT`, no `jti` and no `client_id` | RFC 9068 §2 |
//! | keys have no `alg`, and each has an `issuer` | RFC 7517 §4 |
//! | the keys of the public `common` include one marked as the US Government's, `issuer` notwithstanding | – |
//! | the `issuer` of `/common` metadata is the template `{tenantid}` | RFC 8414 §3.3 |
//! | the `issuer` of an External ID tenant has the tenant's GUID for a host, whatever host was asked | RFC 8414 §3.3 |
//! | the default `issuer` of a user flow leads to no metadata, and ends with a slash | RFC 8414 §3.3 |
//! | a user flow's `scope` may be the client's own id, and tokens for it have no `scp` | RFC 9068 §2.2.3 |
//! | a user flow calls a wrong redirect URI `redirect_uri_mismatch`, and answers 400 to a wrong secret | RFC 6749 §5.2 |
//! | v1 tokens come from `sts.windows.net`, which no metadata URL leads to | OpenID Connect Discovery §4.3 |
//! | metadata is at `{issuer}/.well-known/openid-configuration` alone | RFC 8414 §3.1 |
//! | metadata does not say `code_challenge_methods_supported`, though PKCE works | RFC 8414 §2 |
//! | an absent `code_challenge_method` means `plain` | RFC 7636 §4.3 (the same; OAuth 2.1 forbids it) |
//! | responses carry no `iss` | RFC 9207 |
//! | a redeemed code is refused, but nothing it got is revoked | RFC 6749 §4.1.2 |
//! | old refresh tokens stay valid after rotation | RFC 6819 §5.2.2.3 |
//! | the port of `http://localhost` redirect URIs is ignored, that of `127.0.0.1` is not | RFC 8252 §7.3: the other way round |
//! | errors in the authorization request often stay on a page of Entra's, with status 200 | RFC 6749 §4.1.2.1 |
//! | an unknown client is `unauthorized_client` with 400 | RFC 6749 §5.2: `invalid_client` |
//! | 401 answers carry no `WWW-Authenticate` | RFC 6749 §5.2 |
//! | tokens are dated five minutes back | – |
//! | tokens for Microsoft Graph fail the ordinary signature check | RFC 7515 §5.2 |
//! | a throttled answer is the text `Too Many Requests` | RFC 6749 §5.2: JSON |
//! | client assertions may be padded base64url | RFC 7515 §2 |
//!
//! What no source settles, and what was chosen: the status of an error page (200, see
//! [`Quirks::strict_error_pages`]); the `error` of `AADSTS28000` (`invalid_request`); that a wrong
//! `code_verifier` does not spend the code; an assertion of another tenant is `AADSTS50013`, one of an
//! application `AADSTS7000114`; that a client assertion for the issuer instead of the token endpoint
//! is good; that the port of `127.0.0.1` counts (an application can say otherwise, for tests).
//!
//! Entra documents that a resource registered with a slash at its end can be asked for without it, and
//! that `aud` is then what was asked. Of the reverse nothing is said: the endpoints refuse it, and a
//! token order may have it.
//!
//! Of consent: that the answer to an administrator who consents by URL repeats the scopes as they were
//! asked for, that one who cancels sends `state` back, and that a user who is no administrator reads
//! `AADSTS90094` there as elsewhere. Of Conditional Access: the `error` of `AADSTS53000`
//! (`invalid_grant`, as of 53003), and that a policy named in `claims` which no page can meet ends on an
//! error page.
//!
//! Of continuous access evaluation: that what was granted before the event is `AADSTS50173` as a code, a
//! refresh token and an assertion, and that the challenge stands beside it for a client that declares
//! `cp1` or repeats the challenge; that a token without `cp1` stays good to its end. Whether a token is of
//! before is told by a note in its `aio` and not by its times, which are five minutes back.
//!
//! Of External ID: that its metadata is otherwise that of a workforce tenant, that v1 tokens come from
//! `sts.windows.net`, that its hosts serve no other tenant (`AADSTS90002`), and that its accounts do not
//! sign in over `common`.
//!
//! Of Azure AD B2C: the `error` of `AADB2C90205`, `90084`, `90013`, `90022` and of the rarer ones; that a
//! spent code is `AADB2C90080`; what an unknown user flow answers (404, `AADB2C90022`); that `tfp` keeps
//! the capitals of the registration while issuers, URLs and `acr` do not (so in captures, though an
//! example of the documentation has it in lower case); that `scp` has what was asked and no more; that
//! `client_credentials` and passwords are refused, which only some policies allow.
//!
//! Of agent identities: which undocumented numbers stand beside the documented ones in the facets, and
//! that a person an agent acts for has none (`xms_sub_fct` is absent then).
//!
//! Of groups: whether six of them fit in a token that travels in a URL (here they do, seven do not; the
//! documentation says both); that Graph lets `GroupMember.Read.All` alone look up a user's groups, where
//! the documentation wants `User.ReadBasic.All` beside it; that `getMemberObjects` never has pages,
//! unless the control says so.
//!
//! Of the clouds: that v1 tokens of US Government come from `sts.windows.net`, those of the newest
//! ones from a `sts.` host of theirs; what `rbac_url` is outside the public cloud; that the newest ones
//! show their Graph as `cloud_graph_host_name`; that metadata is alike everywhere. In-process, an alias
//! of a login host is answered under its own name, and its issuers have the name of the login host.
//! One ring of keys signs for every cloud.
//!
//! Of federated credentials: that the issuer is compared before the subject and that before the audience
//! (`AADSTS700212`, a number nobody confirms), all of them before the signature; that an application
//! without any answers `AADSTS70021`; that the tokens of managed identities have the name that was asked
//! for in `aud`; what the audience is called in the newest clouds (here as in the public one). Keys are
//! those of [`builtin::WORKLOAD_ISSUER`](crate::builtin::WORKLOAD_ISSUER) and of the emulator's tenants:
//! no other issuer is fetched, and its tokens fail the signature check.
//!
//! Of managed identities: the texts of most errors, and that App Service answers 401 to a wrong header
//! and 400 to an unknown identity. All of them are user-assigned, the only one is meant when none is
//! named, and no token is kept for the next call.
//!
//! What is left out: mutual TLS, the exchange by which a blueprint gets its agent a token (a token order
//! gets one), managed identities of Azure Arc, Service Fabric and Cloud Shell, continuous access
//! evaluation of applications' own tokens and by place, the implicit flow's access tokens, SAML,
//! `/{tenant}/adminconsent` without `v2.0`, and the loop guard `AADSTS50196`, which would stop tests that
//! repeat themselves.

/// Which Entra to pretend to be, where there is more than one.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "options are written as a struct literal with `..Default::default()`"
)]
pub struct Quirks {
    /// Whether error pages have status 400 rather than Entra's 200.
    pub strict_error_pages: bool,
    /// Whether every `resource` parameter is refused with `AADSTS901002`, as before March 2026.
    pub pre_2026_resource: bool,
    /// Whether metadata says `code_challenge_methods_supported`, which Entra's does not.
    pub advertise_pkce: bool,
}
