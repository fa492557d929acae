//! What a server that turned a request away wants.

/// The challenges in the value of one `WWW-Authenticate` header (RFC 9110 §11.6.1). What cannot be
/// read ends the list.
#[derive(Clone, Debug)]
pub(crate) struct Challenges<'a> {
    rest: &'a str,
}

/// One challenge: a scheme, and its parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ReceivedChallenge<'a> {
    pub(crate) scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl ReceivedChallenge<'_> {
    /// The parameter called `name`, in whatever case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self
            .parameters
            .iter()
            .filter(|(written, _)| written.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }
}

impl<'a> Challenges<'a> {
    pub(crate) fn of(value: &'a str) -> Self {
        Self { rest: value }
    }

    /// The next parameter of the challenge under way.
    fn parameter(&mut self) -> Option<(&'a str, String)> {
        let rest = skipped(self.rest);
        let (name, rest) = token(rest)?;
        let rest = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => token(rest).map(|(value, rest)| (value.to_owned(), rest))?,
        };
        self.rest = rest;
        Some((name, value))
    }
}

impl<'a> Iterator for Challenges<'a> {
    type Item = ReceivedChallenge<'a>;

    fn next(&mut self) -> Option<ReceivedChallenge<'a>> {
        let (scheme, rest) = token(skipped(self.rest))?;
        // What is not followed by a space is no scheme with parameters.
        self.rest = rest;
        let mut parameters = Vec::new();
        while let Some(parameter) = self.parameter() {
            parameters.push(parameter);
        }
        Some(ReceivedChallenge { scheme, parameters })
    }
}

/// What follows commas and white space.
fn skipped(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', ','])
}

/// A token, and what follows it (RFC 9110 §5.6.2). A `token68` counts as one.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |character: char| {
        character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(character)
    };
    let end = text.find(|character| !is_part(character));
    let (token, rest) = text.split_at(end.unwrap_or(text.len()));
    (!token.is_empty()).then_some((token, rest))
}

/// What stands before the closing quote, and what follows it (RFC 9110 §5.6.4).
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Vec<String> {
        let shown = |challenge: ReceivedChallenge<'_>| {
            let parameters = challenge.parameters.iter();
            let parameters = parameters.map(|(name, value)| format!(" {name}={value}"));
            format!("{}:{}", challenge.scheme, parameters.collect::<String>())
        };
        Challenges::of(value).map(shown).collect()
    }

    #[test]
    fn challenges_are_read_as_the_rfc_writes_them() {
        for (value, expected) in [
            ("", vec![]),
            ("Basic", vec!["Basic:"]),
            ("Bearer realm=\"\"", vec!["Bearer: realm="]),
            (
                r#"Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple""#,
                vec![
                    r#"Newauth: realm=apps type=1 title=Login to "apps""#,
                    "Basic: realm=simple",
                ],
            ),
            (
                "Bearer a = \"x, Basic y=z\" , b=c",
                vec!["Bearer: a=x, Basic y=z b=c"],
            ),
            ("Bearer a=\"open", vec!["Bearer:", "a:"]),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_ends(value in ".{0,200}") {
            prop_assert!(Challenges::of(&value).count() <= value.len());
        }
    }
}
