//! The control API for people and scripts.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::control::Control;
use crate::control::order::TokenOrder;
use crate::emulator::{Call, Shared};
use crate::faults::{Endpoint, Failure};
use crate::refusal::GrantRefusal;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/control/{action}", post(act).get(act))
}

/// One order, as `POST /control/{action}` with the other members as a JSON object.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
enum Action {
    Advance {
        seconds: u64,
    },
    Calls {
        endpoint: Endpoint,
    },
    DelayNext {
        endpoint: Endpoint,
        calls: u64,
        milliseconds: u64,
    },
    DemandMfaAtObo {
        user: String,
        demanded: bool,
    },
    DisableUser {
        user: String,
    },
    EnableUser {
        user: String,
    },
    FailNext {
        endpoint: Endpoint,
        calls: u64,
        failure: Failure,
    },
    Keys,
    LastAuthorizeQuery,
    LastTokenForm,
    MintToken(Box<TokenOrder>),
    MintWorkloadToken {
        subject: String,
        audience: String,
        seconds: u64,
    },
    Now,
    OmitKeyNext {
        kid: String,
        calls: u64,
    },
    RefuseObo {
        user: String,
        refusal: Option<GrantRefusal>,
    },
    RefuseRefresh {
        user: String,
        refusal: Option<GrantRefusal>,
    },
    ResetCalls,
    RetireKey {
        kid: String,
    },
    RevokeConsent {
        client_id: String,
        #[serde(default)]
        resource: Option<String>,
    },
    RevokeRefreshTokens {
        user: String,
    },
    RevokeSessions {
        user: String,
    },
    RotateKeys,
    SetGraphPageSize {
        size: Option<usize>,
    },
    SetRefreshIn {
        seconds: Option<u64>,
    },
    SetTokenLifetime {
        seconds: Option<u64>,
    },
    SignEverybodyOut,
    ThrottleNext {
        endpoint: Endpoint,
        calls: u64,
        retry_after: u64,
    },
    TokenForms,
}

async fn act(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(action): Path<String>,
    body: String,
) -> Response {
    let arguments: Result<Map<String, Value>, _> = if body.trim().is_empty() {
        Ok(Map::new())
    } else {
        serde_json::from_str(&body)
    };
    let parsed = arguments.and_then(|mut members| {
        members.insert("action".to_owned(), Value::from(action));
        serde_json::from_value::<Action>(Value::from(members))
    });
    let refuse = |error: String| {
        let body = json!({"error": error});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    let control = Control::new(shared);
    match parsed {
        Ok(Action::MintToken(order)) => {
            match control.try_mint(&(*order).asked_at(&call.place.base)) {
                Ok(token) => Json(json!({"token": token})).into_response(),
                Err(error) => refuse(error.to_string()),
            }
        }
        Ok(action) => Json(action.carry_out(&control)).into_response(),
        Err(error) => refuse(error.to_string()),
    }
}

impl Action {
    fn carry_out(self, control: &Control) -> Value {
        match self {
            Self::Advance { seconds } => control.advance(Duration::from_secs(seconds)),
            Self::Calls { endpoint } => return json!({"calls": control.calls(endpoint)}),
            Self::DelayNext {
                endpoint,
                calls,
                milliseconds,
            } => {
                control.delay_next(endpoint, calls, Duration::from_millis(milliseconds));
            }
            Self::DemandMfaAtObo { user, demanded } => control.demand_mfa_at_obo(&user, demanded),
            Self::DisableUser { user } => control.disable_user(&user),
            Self::EnableUser { user } => control.enable_user(&user),
            Self::FailNext {
                endpoint,
                calls,
                failure,
            } => {
                control.fail_next(endpoint, calls, failure);
            }
            Self::Keys => return json!({"kids": control.keys()}),
            Self::LastAuthorizeQuery => {
                return json!({"parameters": control.last_authorize_query()});
            }
            Self::LastTokenForm => return json!({"parameters": control.last_token_form()}),
            // Carried out before: it can fail.
            Self::MintToken(_) => {}
            Self::MintWorkloadToken {
                subject,
                audience,
                seconds,
            } => {
                let lifetime = Duration::from_secs(seconds);
                let token = control.mint_workload_token(&subject, &audience, lifetime);
                return json!({"token": token});
            }
            Self::Now => return json!({"now": control.now()}),
            Self::OmitKeyNext { kid, calls } => control.omit_key_next(&kid, calls),
            Self::RefuseObo { user, refusal } => control.refuse_obo(&user, refusal),
            Self::RefuseRefresh { user, refusal } => control.refuse_refresh(&user, refusal),
            Self::ResetCalls => control.reset_calls(),
            Self::RetireKey { kid } => return json!({"retired": control.retire_key(&kid)}),
            Self::RevokeConsent {
                client_id,
                resource: None,
            } => control.revoke_consent(&client_id),
            Self::RevokeConsent {
                client_id,
                resource: Some(resource),
            } => {
                control.revoke_consent_to(&client_id, &resource);
            }
            Self::RevokeRefreshTokens { user } => control.revoke_refresh_tokens(&user),
            Self::RevokeSessions { user } => control.revoke_sessions(&user),
            Self::RotateKeys => return json!({"kid": control.rotate_keys()}),
            Self::SetGraphPageSize { size } => control.set_graph_page_size(size),
            Self::SetRefreshIn { seconds } => {
                control.set_refresh_in(seconds.map(Duration::from_secs));
            }
            Self::SetTokenLifetime { seconds } => {
                control.set_token_lifetime(seconds.map(Duration::from_secs));
            }
            Self::SignEverybodyOut => control.sign_everybody_out(),
            Self::ThrottleNext {
                endpoint,
                calls,
                retry_after,
            } => {
                control.throttle_next(endpoint, calls, retry_after);
            }
            Self::TokenForms => return json!({"forms": control.token_forms()}),
        }
        json!({})
    }
}
