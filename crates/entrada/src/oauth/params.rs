//! The parameters of a form or a query.

use url::form_urlencoded;

/// The only parameter that may be given more than once (RFC 8707 §2).
const REPEATABLE: &str = "resource";

/// How many parameters a request may have.
const MOST_PARAMETERS: usize = 64;

/// Parameters, none of them twice (RFC 6749 §3.1 and §3.2).
///
/// A parameter without a value counts as absent, as the same sections demand.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, String)>);

/// Why parameters were refused: `invalid_request` (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// A parameter came twice.
    #[error("a parameter is repeated")]
    Repeated,
    /// There are too many.
    #[error("there are too many parameters")]
    TooMany,
}

impl Params {
    /// Reads `application/x-www-form-urlencoded` text.
    ///
    /// # Errors
    ///
    /// [`ParamsError`] if a parameter is repeated or there are too many (`invalid_request`).
    pub fn parse(encoded: &[u8]) -> Result<Self, ParamsError> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if value.is_empty() {
                continue;
            }
            if params.len() == MOST_PARAMETERS {
                return Err(ParamsError::TooMany);
            }
            if name != REPEATABLE && params.iter().any(|(known, _)| *known == name) {
                return Err(ParamsError::Repeated);
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(params))
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of `resource`.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(name, _)| name == REPEATABLE)
            .map(|(_, value)| value.as_str())
    }
}

// The values may be secrets: a code, a verifier, a token.
impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_refused_except_resource() {
        let params = Params::parse(b"a=1&b=x%2By+z&empty=&resource=r1&resource=r2").unwrap();
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.get("b"), Some("x+y z"));
        assert_eq!(params.get("empty"), None);
        assert_eq!(params.get("missing"), None);
        assert_eq!(params.resources().collect::<Vec<_>>(), ["r1", "r2"]);
        assert_eq!(
            Params::parse(b"a=1&a=1").unwrap_err(),
            ParamsError::Repeated
        );
        assert_eq!(Params::parse(b"a=&a=1").unwrap().get("a"), Some("1"));
    }

    #[test]
    fn the_number_is_bounded() {
        let many = (0..65)
            .map(|n| format!("p{n}=1"))
            .collect::<Vec<_>>()
            .join("&");
        assert_eq!(
            Params::parse(many.as_bytes()).unwrap_err(),
            ParamsError::TooMany
        );
    }

    #[test]
    fn debug_shows_names_only() {
        let shown = format!("{:?}", Params::parse(b"code=hunter2").unwrap());
        assert_eq!(shown, "{\"code\"}");
    }
}
