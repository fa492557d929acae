//! The issuers whose word on who a user is is taken: `[[trusted_issuer]]`.

use toml::de::{DeTable, DeValue};

use super::{TRUSTED_ISSUER, tables};
use crate::config::problem::Problem;
use crate::config::spelling::nearest_of;

const KEYS: [&str; 2] = ["issuer", "jwks_uri"];

/// An issuer, and where its keys are.
pub(super) type Issuer = (String, String);

/// Reads the issuers, and what is wrong with them; `place` is where the first stands, `at` names any other place.
pub(super) fn read(
    issuers: &DeValue<'_>,
    place: &str,
    at: &dyn Fn(usize) -> String,
) -> (Vec<Issuer>, Vec<Problem>) {
    let Some(tables) = tables(issuers) else {
        let what = format_args!("write [[{TRUSTED_ISSUER}]] before what is said of each");
        return (
            Vec::new(),
            vec![Problem::at(place, what).naming(TRUSTED_ISSUER)],
        );
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (table, span) in tables {
        found.extend(issuer(table, &at(span.start), at, &mut problems));
    }
    (found, problems)
}

fn issuer(
    table: &DeTable<'_>,
    place: &str,
    at: &dyn Fn(usize) -> String,
    problems: &mut Vec<Problem>,
) -> Option<Issuer> {
    let unknown = table
        .iter()
        .filter(|(key, _)| !KEYS.contains(&&**key.get_ref()));
    problems.extend(unknown.map(|(key, _)| {
        let nearest = nearest_of(key.get_ref(), KEYS);
        Problem::unknown(key.get_ref(), &at(key.span().start), nearest)
    }));
    let [issuer, jwks_uri] = KEYS.map(|name| {
        let value = table.get(name).and_then(|value| value.get_ref().as_str());
        if value.is_none() {
            problems.push(Problem::of_key(
                name,
                place,
                "each issuer has one: write it",
            ));
        }
        value.map(str::to_owned)
    });
    issuer.zip(jwks_uri)
}
