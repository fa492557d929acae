//! The clients that need not register: `[[client]]`.

use std::fs;

use entrada::authorization_server::PreregisteredClient;
use toml::de::{DeTable, DeValue};

use super::{CLIENT, PlacedClient, Secrets, tables, text_of};
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

/// Reads the clients, and what is wrong with them; `place` is where the first stands, `at` names any other place.
pub(super) fn read(
    clients: &DeValue<'_>,
    place: &str,
    (at, secrets): (&dyn Fn(usize) -> String, Secrets),
) -> (Vec<PlacedClient>, Vec<Problem>) {
    let Some(tables) = tables(clients) else {
        let what = format_args!("write [[{CLIENT}]] before what is said of each");
        return (Vec::new(), vec![Problem::at(place, what).naming(CLIENT)]);
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (table, span) in tables {
        let place = at(span.start);
        let mut reader = Reader {
            table,
            place: &place,
            at,
            secrets,
            has_unknown: false,
            problems: Vec::new(),
        };
        let client = reader.client();
        if reader.problems.is_empty() {
            found.extend(client.map(|client| (client, place.clone())));
        }
        problems.append(&mut reader.problems);
    }
    (found, problems)
}

/// What reads one client, and notes what is wrong with it.
struct Reader<'a> {
    table: &'a DeTable<'a>,
    place: &'a str,
    at: &'a dyn Fn(usize) -> String,
    secrets: Secrets,
    /// Whether a key is misspelt, perhaps one that is needed.
    has_unknown: bool,
    problems: Vec<Problem>,
}

/// What a key says, and where.
type Said = (String, String);

impl Reader<'_> {
    fn client(&mut self) -> Option<PreregisteredClient> {
        self.unknown();
        let id = self.required("client_id");
        let scopes = self.value("client_credentials");
        let asserts = self.switch("identity_assertions");
        // What it says of that may be wrong.
        let acts_alone = self.table.contains_key("client_credentials") || asserts != Some(false);
        let client = if acts_alone && !self.table.contains_key("redirect_uris") {
            id.map(PreregisteredClient::program)
        } else {
            let uris = self.required("redirect_uris");
            id.zip(uris)
                .map(|(id, uris)| PreregisteredClient::new(id, uris.split_whitespace()))
        };
        let roles = self.value("app_roles");
        let name = self.value("client_name");
        let is_bound = self.switch("dpop_bound_access_tokens");
        let mut client = self.proving(client?);
        if let Some((scopes, _)) = scopes {
            client = client.client_credentials(scopes.split_whitespace());
        }
        if asserts == Some(true) {
            client = client.identity_assertions();
        }
        if let Some((roles, _)) = roles {
            client = client.app_roles(roles.split_whitespace());
        }
        if let Some((name, _)) = name {
            client = client.name(name);
        }
        Some(if is_bound == Some(true) {
            client.dpop_bound_access_tokens()
        } else {
            client
        })
    }

    /// The same client, with what it proves itself by, if it has that.
    fn proving(&mut self, client: PreregisteredClient) -> PreregisteredClient {
        match (self.value("secret_file"), self.value("jwks_file")) {
            (Some(_), Some((_, place))) => {
                self.wrong("jwks_file", &place, "secret_file is set, too");
                client
            }
            (Some(file), None) => {
                let secret = self.content("secret_file", file);
                client.secret(secret.trim())
            }
            (None, Some(file)) => {
                let keys = self.content("jwks_file", file);
                client.private_key_jwt(keys)
            }
            (None, None) => client,
        }
    }

    /// Notes the keys that nobody knows.
    fn unknown(&mut self) {
        let keys = self.table.iter().map(|(key, _)| key);
        let unknown = keys.filter(|key| !KEYS.contains(&&**key.get_ref()));
        self.problems.extend(unknown.map(|key| {
            let nearest = nearest_of(key.get_ref(), KEYS);
            Problem::unknown(key.get_ref(), &(self.at)(key.span().start), nearest)
        }));
        self.has_unknown = !self.problems.is_empty();
    }

    fn value(&mut self, name: &str) -> Option<Said> {
        let value = self.table.get(name)?;
        let place = (self.at)(value.span().start);
        let text = text_of(value.get_ref()).filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong(name, &place, "write a string or a list of strings");
        }
        Some((text?, place))
    }

    fn required(&mut self, name: &str) -> Option<String> {
        if !self.table.contains_key(name) && !self.has_unknown {
            self.wrong(name, self.place, "each client has one: write it");
        }
        self.value(name).map(|(text, _)| text)
    }

    /// Whether something is on; nothing where that cannot be read.
    fn switch(&mut self, name: &str) -> Option<bool> {
        if !self.table.contains_key(name) {
            return Some(false);
        }
        let (text, place) = self.value(name)?;
        let read = switch(&text).map_err(|what| self.wrong(name, &place, &what));
        read.ok()
    }

    /// What is in the file that `name` says, unless nobody needs it.
    fn content(&mut self, name: &str, (path, place): Said) -> String {
        if self.secrets == Secrets::LeftOut {
            return String::new();
        }
        fs::read_to_string(&path).unwrap_or_else(|error| {
            self.wrong(name, &place, &format!("{path} cannot be read: {error}"));
            String::new()
        })
    }

    fn wrong(&mut self, name: &str, place: &str, what: &str) {
        self.problems.push(Problem::of_key(name, place, what));
    }
}
