//! The issuers whose word on who a user is is taken: `[[trusted_issuer]]`.

use toml::de::{DeTable, DeValue};

use super::{TRUSTED_ISSUER, tables};
use crate::config::problem::Problem;
use crate::config::spelling::nearest_of;

const KEYS: [&str; 2] = ["issuer", "jwks_uri"];

/// An issuer, and where its keys are.
pub(super) type Issuer = (String, String);

/// Reads the issuers; `place` is where the first stands, `at` names any other place.
pub(super) fn read(
    issuers: &DeValue<'_>,
    place: &str,
    at: &dyn Fn(usize) -> String,
) -> Result<Vec<Issuer>, Vec<Problem>> {
    let Some(tables) = tables(issuers) else {
        let what = format_args!("write [[{TRUSTED_ISSUER}]] before what is said of each");
        return Err(vec![Problem::at(place, what)]);
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (table, span) in tables {
        match issuer(table, &at(span.start), at) {
            Ok(issuer) => found.push(issuer),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

fn issuer(
    table: &DeTable<'_>,
    place: &str,
    at: &dyn Fn(usize) -> String,
) -> Result<Issuer, Problem> {
    for (key, _) in table {
        if !KEYS.contains(&&**key.get_ref()) {
            let place = at(key.span().start);
            let nearest = nearest_of(key.get_ref(), KEYS);
            return Err(Problem::unknown(key.get_ref(), &place, nearest));
        }
    }
    let required = |name: &str| {
        let value = table.get(name).and_then(|value| value.get_ref().as_str());
        let what = || Problem::at(place, format_args!("{name}: each issuer has one: write it"));
        value.map(str::to_owned).ok_or_else(what)
    };
    Ok((required("issuer")?, required("jwks_uri")?))
}
