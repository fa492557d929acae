//! Every `AADSTS` code the emulator answers with, its text and its wire form.

pub(crate) mod federated;
pub(crate) mod policy;
mod table;

use http::StatusCode;
use serde::Serialize;

use crate::calendar::timestamp;
use crate::emulator::Call;
pub(crate) use crate::error::table::Aadsts;

/// The ids Entra puts in every answer.
#[derive(Debug, Clone)]
pub(crate) struct RequestIds {
    pub(crate) trace: String,
    pub(crate) correlation: String,
}

impl RequestIds {
    /// New ids; the correlation id is the client's when it sent one.
    pub(crate) fn new(client_request_id: Option<&str>) -> Self {
        let correlation = client_request_id
            .filter(|id| crate::directory::is_guid(id))
            .map_or_else(crate::random::guid, str::to_owned);
        Self {
            trace: crate::random::guid(),
            correlation,
        }
    }
}

/// An error as the token and metadata endpoints send it.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: String,
    pub(crate) error_description: String,
    pub(crate) error_codes: [u32; 1],
    pub(crate) timestamp: String,
    pub(crate) trace_id: String,
    pub(crate) correlation_id: String,
    pub(crate) error_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suberror: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) claims: Option<String>,
}

impl Aadsts {
    /// The body that reports it.
    pub(crate) fn body(&self, call: &Call) -> ErrorBody {
        let Call { place, ids, now } = call;
        let code = self.code();
        ErrorBody {
            error: self.error().to_owned(),
            error_description: describe(code, &self.to_string(), ids, *now),
            error_codes: [code],
            timestamp: timestamp(*now),
            trace_id: ids.trace.clone(),
            correlation_id: ids.correlation.clone(),
            error_uri: place.error_uri(code),
            suberror: self.suberror().map(str::to_owned),
            claims: self.claims(),
        }
    }

    /// 401 for a client that did not authenticate, 400 for the rest.
    pub(crate) fn status(&self) -> StatusCode {
        status(self.error())
    }
}

/// The text of `error_description`: parts are separated by one space, as since 2024.
pub(crate) fn describe(code: u32, text: &str, ids: &RequestIds, now: u64) -> String {
    format!(
        "AADSTS{code}: {text} Trace ID: {} Correlation ID: {} Timestamp: {}",
        ids.trace,
        ids.correlation,
        timestamp(now)
    )
}

pub(crate) fn status(error: &str) -> StatusCode {
    match error {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    }
}
