//! The clients that need not register: `[[client]]`.

use std::fs;

use entrada::authorization_server::PreregisteredClient;
use toml::de::{DeTable, DeValue};

use super::{CLIENT, PlacedClient, tables, text_of};
use crate::config::problem::Problem;
use crate::config::spelling::nearest_of;
use crate::config::value::switch;

const KEYS: [&str; 9] = [
    "client_id",
    "client_name",
    "redirect_uris",
    "secret_file",
    "jwks_file",
    "client_credentials",
    "app_roles",
    "identity_assertions",
    "dpop_bound_access_tokens",
];

/// Reads the clients; `place` is where the first stands, `at` names any other place.
pub(super) fn read(
    clients: &DeValue<'_>,
    place: &str,
    at: &dyn Fn(usize) -> String,
) -> Result<Vec<PlacedClient>, Vec<Problem>> {
    let Some(tables) = tables(clients) else {
        let what = format_args!("write [[{CLIENT}]] before what is said of each");
        return Err(vec![Problem::at(place, what)]);
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (table, span) in tables {
        let place = at(span.start);
        match client(table, &place, at) {
            Ok(client) => found.push((client, place)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

fn client(
    table: &DeTable<'_>,
    place: &str,
    at: &dyn Fn(usize) -> String,
) -> Result<PreregisteredClient, Problem> {
    for (key, _) in table {
        if !KEYS.contains(&&**key.get_ref()) {
            let place = at(key.span().start);
            let nearest = nearest_of(key.get_ref(), KEYS);
            return Err(Problem::unknown(key.get_ref(), &place, nearest));
        }
    }
    let value = |name: &str| {
        let Some(value) = table.get(name) else {
            return Ok(None);
        };
        let place = at(value.span().start);
        let text = text_of(value.get_ref()).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| wrong(&place, name, "write a string or a list of strings"));
        text.map(|text| Some((text, place)))
    };
    let required = |name: &str| {
        let found = value(name)?;
        found.ok_or_else(|| wrong(place, name, "each client has one: write it"))
    };
    let (id, _) = required("client_id")?;
    let scopes = value("client_credentials")?;
    let asserts = value("identity_assertions")?;
    let asserts = asserts.map(|(text, place)| {
        let switch = switch(&text);
        switch.map_err(|what| wrong(&place, "identity_assertions", &what))
    });
    let asserts = asserts.transpose()? == Some(true);
    let acts_alone = scopes.is_some() || asserts;
    let mut client = if acts_alone && !table.contains_key("redirect_uris") {
        PreregisteredClient::program(id)
    } else {
        let (redirect_uris, _) = required("redirect_uris")?;
        PreregisteredClient::new(id, redirect_uris.split_whitespace())
    };
    if let Some((scopes, _)) = scopes {
        client = client.client_credentials(scopes.split_whitespace());
    }
    if asserts {
        client = client.identity_assertions();
    }
    if let Some((roles, _)) = value("app_roles")? {
        client = client.app_roles(roles.split_whitespace());
    }
    if let Some((name, _)) = value("client_name")? {
        client = client.name(name);
    }
    if let Some((text, place)) = value("dpop_bound_access_tokens")? {
        let wanted = switch(&text).map_err(|what| wrong(&place, "dpop_bound_access_tokens", &what));
        if wanted? {
            client = client.dpop_bound_access_tokens();
        }
    }
    match (value("secret_file")?, value("jwks_file")?) {
        (Some(_), Some((_, place))) => Err(wrong(&place, "jwks_file", "secret_file is set, too")),
        (Some((path, place)), None) => {
            let secret = content("secret_file", &path, &place)?;
            Ok(client.secret(secret.trim()))
        }
        (None, Some((path, place))) => {
            let keys = content("jwks_file", &path, &place)?;
            Ok(client.private_key_jwt(keys))
        }
        (None, None) => Ok(client),
    }
}

fn content(name: &str, path: &str, place: &str) -> Result<String, Problem> {
    fs::read_to_string(path)
        .map_err(|error| wrong(place, name, &format!("{path} cannot be read: {error}")))
}

fn wrong(place: &str, name: &str, what: &str) -> Problem {
    Problem::at(place, format_args!("{name}: {what}"))
}
