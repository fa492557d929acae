//! The way back to the client (RFC 6749 §4.1.2, OAuth 2.0 Multiple Response Types §2.1).

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::authorize::pages::form_post_page;
use crate::emulator::Call;
use crate::error::{Aadsts, describe};

/// How parameters travel back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

impl ResponseMode {
    pub(crate) fn default_for(id_token: bool) -> Self {
        if id_token {
            Self::Fragment
        } else {
            Self::Query
        }
    }

    /// Tokens may not travel in a query.
    pub(crate) fn parse(value: Option<&str>, id_token: bool) -> Result<Self, Aadsts> {
        match value {
            None => Ok(Self::default_for(id_token)),
            Some("query") if !id_token => Ok(Self::Query),
            Some("fragment") => Ok(Self::Fragment),
            Some("form_post") => Ok(Self::FormPost),
            Some(other) => Err(Aadsts::ResponseMode(other.to_owned())),
        }
    }
}

/// Where the browser goes back to, how, and with which `state`.
#[derive(Debug, Clone)]
pub(crate) struct ReturnAddress {
    pub(crate) uri: String,
    pub(crate) mode: ResponseMode,
    pub(crate) state: Option<String>,
}

impl ReturnAddress {
    /// Sends the browser back with `parameters` and the client's `state`.
    pub(crate) fn send(&self, mut parameters: Vec<(&'static str, String)>) -> Response {
        if let Some(state) = &self.state {
            parameters.push(("state", state.clone()));
        }
        match self.mode {
            ResponseMode::FormPost => form_post_page(&self.uri, &parameters),
            ResponseMode::Query => redirect(&self.in_query(&parameters)),
            ResponseMode::Fragment => {
                let base = self.normalized();
                redirect(&format!("{base}#{}", encode(&parameters)))
            }
        }
    }

    /// Sends the browser back with an error.
    pub(crate) fn refuse(&self, error: &Aadsts, silent: bool, call: &Call) -> Response {
        let word = if silent {
            error.silent_error()
        } else {
            error.error()
        };
        let text = describe(error.code(), &error.to_string(), &call.ids, call.now);
        let mut parameters = vec![("error", word.to_owned()), ("error_description", text)];
        let uri = call.place.error_uri(error.code());
        parameters.push(("error_uri", uri));
        if let Some(claims) = error.claims() {
            parameters.push(("claims", claims));
        }
        self.send(parameters)
    }

    // A fragment is appended even to a query, an empty one, so that none of the login page's
    // own sticks to the client's address.
    fn in_query(&self, parameters: &[(&'static str, String)]) -> String {
        let base = self.normalized();
        let separator = if base.contains('?') { '&' } else { '?' };
        format!("{base}{separator}{}#", encode(parameters))
    }

    // A path-less address comes back with a slash.
    fn normalized(&self) -> String {
        match Url::parse(&self.uri) {
            Ok(url) if url.path() == "/" && url.query().is_none() => url.to_string(),
            _ => self.uri.clone(),
        }
    }
}

fn encode(parameters: &[(&'static str, String)]) -> String {
    let mut serializer = Serializer::new(String::new());
    serializer.extend_pairs(parameters);
    serializer.finish()
}

pub(crate) fn redirect(location: &str) -> Response {
    (
        StatusCode::FOUND,
        [
            (LOCATION, location),
            (http::header::CACHE_CONTROL, "no-store, no-cache"),
        ],
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_back_with_an_empty_fragment_or_in_it() {
        for (uri, mode, wanted) in [
            (
                "https://a.example/cb",
                ResponseMode::Query,
                "https://a.example/cb?code=x+y&state=s#",
            ),
            (
                "https://a.example/cb?k=v",
                ResponseMode::Query,
                "https://a.example/cb?k=v&code=x+y&state=s#",
            ),
            (
                "https://a.example",
                ResponseMode::Query,
                "https://a.example/?code=x+y&state=s#",
            ),
            (
                "https://a.example",
                ResponseMode::Fragment,
                "https://a.example/#code=x+y&state=s",
            ),
            (
                "cli://auth",
                ResponseMode::Query,
                "cli://auth?code=x+y&state=s#",
            ),
        ] {
            let address = ReturnAddress {
                uri: uri.to_owned(),
                mode,
                state: Some("s".to_owned()),
            };
            let response = address.send(vec![("code", "x y".to_owned())]);
            assert_eq!(response.headers()[LOCATION], wanted);
        }
    }
}
