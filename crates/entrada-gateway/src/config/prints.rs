//! What was set, as far as it takes to tell whether it is something else now.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::path::Path;
use std::sync::LazyLock;

use toml::de::DeValue;

/// Settings that name files whose content counts when the settings are read.
const READ_ONCE: [&str; 15] = [
    "client_secret_file",
    "client_certificate_password_file",
    "ca_file",
    "acme_ca_file",
    "acme_eab_hmac_key_file",
    "store_password_file",
    "store_next_password_file",
    "store_before_password_file",
    "key_encryption_key_file",
    "upstream_ca_file",
    "upstream_certificate",
    "upstream_key",
    "policy_file",
    // Of a client.
    "secret_file",
    "jwks_file",
];

/// Settings that another process alone can have another value of. What is bound to them cannot move: sockets,
/// the store and its keys, whom tokens and grants are of, and what was written so far.
const UNTIL_RESTART: [&str; 42] = [
    "base_url",
    "listen",
    "tls_certificate",
    "tls_key",
    "acme_domains",
    "acme_accept_terms",
    "acme_contact",
    "acme_directory",
    "acme_ca_file",
    "acme_eab_key_id",
    "acme_eab_hmac_key",
    "acme_eab_hmac_key_file",
    "tenant_id",
    "client_id",
    "redirect_path",
    "cloud",
    "authority_host",
    "insecure_http_authority",
    "ca_file",
    "egress_proxy",
    "insecure_document_addresses",
    "data_dir",
    "store",
    "store_password_file",
    "store_next",
    "store_next_password_file",
    "store_before",
    "store_before_password_file",
    "key_encryption_key",
    "key_encryption_key_file",
    "issuer_url",
    "metrics_listen",
    "audit_log",
    "audit_required",
    "otlp_endpoint",
    "trace_sample",
    "trust_traceparent",
    "admin_listen",
    "admin_base_url",
    "config",
    "log_format",
    "identifier_uri",
];

/// What is said of a route, and changes nothing about the way to its server: who may call, and how often.
const OF_CALLERS: [&str; 16] = [
    "tokens",
    "client_id",
    "identifier_uri",
    "resource_name",
    "required_scopes",
    "optional_scopes",
    "required_app_roles",
    "allowed_applications",
    "allowed_origins",
    "without_rule",
    "filter_lists",
    "policy_file",
    "rate_limit_user",
    "rate_limit_client",
    "rate_limit_tool",
    "max_concurrent_requests_per_user",
];

/// What tells a value from another, in this process alone: of a secret it gives nothing away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Print(u64);

/// The prints of all that is set, by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Prints(BTreeMap<&'static str, Print>);

/// What is to be done about settings that were read again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// Nothing: they are what they were.
    Nothing,
    /// They can be taken over while requests are served.
    Taken,
    /// None of them can, for these would need a new process.
    Kept(Vec<&'static str>),
}

impl Change {
    /// What is to be done where `before` holds, and `after` was read.
    pub(crate) fn of(before: &Prints, after: &Prints) -> Self {
        let names: BTreeSet<_> = before.0.keys().chain(after.0.keys()).copied().collect();
        let differ = |name: &&&str| before.0.get(**name) != after.0.get(**name);
        let differing: Vec<_> = names.iter().filter(differ).copied().collect();
        let fixed = differing.iter().filter(|name| UNTIL_RESTART.contains(name));
        let fixed: Vec<_> = fixed.copied().collect();
        match (&*differing, &*fixed) {
            ([], _) => Self::Nothing,
            (_, []) => Self::Taken,
            (_, [..]) => Self::Kept(fixed),
        }
    }
}

impl Prints {
    /// Notes what `name` is set to.
    pub(super) fn note(&mut self, name: &'static str, print: Print) {
        self.0.insert(name, print);
    }
}

impl Print {
    /// Of the setting `name`, and of what is in the file that it names, if that counts.
    pub(super) fn of_setting(name: &str, value: &str) -> Self {
        Self::of_all("", [(name, value.to_owned())])
    }

    /// Of several settings of what is at `place`.
    pub(super) fn of_all<'a>(
        place: &str,
        given: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        let mut hasher = HASHING.build_hasher();
        place.hash(&mut hasher);
        for (name, value) in given {
            setting(name, &value, &mut hasher);
        }
        Self(hasher.finish())
    }

    /// Of a value in the configuration file, wherever it stands there.
    pub(super) fn of_value(key: &str, found: &DeValue<'_>) -> Self {
        let mut hasher = HASHING.build_hasher();
        value(key, found, &mut hasher);
        Self(hasher.finish())
    }
}

/// Whether what is said by the setting `name` makes another way to a server.
pub(super) fn is_of_server(name: &str) -> bool {
    !OF_CALLERS.contains(&name)
}

fn setting(name: &str, value: &str, into: &mut impl Hasher) {
    (name, value).hash(into);
    if READ_ONCE.contains(&name) {
        // One that cannot be read is told when the settings are.
        std::fs::read(Path::new(value)).ok().hash(into);
    }
}

fn value(key: &str, found: &DeValue<'_>, into: &mut impl Hasher) {
    if let Some(text) = found.as_str() {
        setting(key, text, into);
    } else if let Some(number) = found.as_integer() {
        (key, "number", number.as_str()).hash(into);
    } else if let Some(switch) = found.as_bool() {
        (key, switch).hash(into);
    } else if let Some(all) = found.as_array() {
        (key, "array", all.len()).hash(into);
        for one in all {
            value(key, one.get_ref(), into);
        }
    } else if let Some(table) = found.as_table() {
        (key, "table", table.len()).hash(into);
        for (key, one) in table {
            value(key.get_ref(), one.get_ref(), into);
        }
    } else {
        // No setting is written like that.
        (key, "other").hash(into);
    }
}

static HASHING: LazyLock<RandomState> = LazyLock::new(RandomState::new);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::settings;

    fn prints(settings: &[(&'static str, &str)]) -> Prints {
        let mut prints = Prints::default();
        for (name, value) in settings {
            prints.note(name, Print::of_setting(name, value));
        }
        prints
    }

    #[test]
    fn what_a_new_process_is_needed_for_keeps_all_as_it_is() {
        let before = [("listen", "a"), ("consent", "a"), ("dpop", "a")];
        for (after, expected) in [
            (&before[..], Change::Nothing),
            (
                &[("listen", "a"), ("consent", "b"), ("dpop", "a")],
                Change::Taken,
            ),
            (&[("listen", "a"), ("consent", "a")], Change::Taken),
            (
                &[("listen", "b"), ("consent", "b"), ("dpop", "a")],
                Change::Kept(vec!["listen"]),
            ),
            (
                &[("consent", "a"), ("dpop", "a"), ("base_url", "b")],
                Change::Kept(vec!["base_url", "listen"]),
            ),
        ] {
            assert_eq!(Change::of(&prints(&before), &prints(after)), expected);
        }
    }

    /// Whoever adds a setting says here what becomes of it.
    #[test]
    fn of_every_setting_it_is_known_whether_it_can_change() {
        let takes: BTreeSet<_> = TAKEN_OVER.split_whitespace().collect();
        let fixed: BTreeSet<_> = UNTIL_RESTART.into_iter().collect();
        assert_eq!(takes.intersection(&fixed).count(), 0);
        let said: BTreeSet<_> = takes.union(&fixed).copied().collect();
        let names: BTreeSet<_> = settings().map(|setting| setting.name).collect();
        assert_eq!(said, names);
        for name in READ_ONCE.into_iter().chain(OF_CALLERS) {
            assert!(names.contains(name) || name == "secret_file" || name == "jwks_file");
        }
        // A file is looked at by whoever uses it, or when the settings are read.
        for setting in settings().filter(|setting| setting.value == "FILE") {
            let by_its_user = [
                "tls_certificate",
                "tls_key",
                "client_certificate",
                "federated_token_file",
                "config",
            ];
            let once = READ_ONCE.contains(&setting.name);
            assert!(
                once != by_its_user.contains(&setting.name),
                "{}",
                setting.name
            );
        }
    }

    const TAKEN_OVER: &str = "
        upstream command resource_path resource_name allowed_tenants client_secret client_secret_file
        client_certificate client_certificate_password client_certificate_password_file federated_token_file
        managed_identity required_scopes optional_scopes required_app_roles allowed_applications
        additional_scopes incremental_scopes continuous_access_evaluation groups_from_graph
        access_token_lifetime refresh_token_lifetime signing_algorithm dpop dpop_nonce key_rotation
        client_registrations consent consent_lifetime ask_for_apps_on_device pre_approved_clients
        allowed_client_redirect_uris client_document_hosts rate_limits trusted_proxies allowed_origins
        host_header forward_identity upstream_scope upstream_token_header upstream_app_only_fallback
        upstream_ca_file upstream_certificate upstream_key body_limit upstream_timeout working_directory
        environment child_mode child_idle_timeout max_children max_sessions_per_user message_limit
        without_rule filter_lists policy_file rate_limit_user rate_limit_client rate_limit_tool
        max_concurrent_requests_per_user max_connections max_connections_per_address
        audit_arguments admin_role admin_tenant drain_timeout log_level tokens upstream_health_path upstream_http2 websocket";

    #[test]
    fn a_file_is_told_by_its_content_and_a_secret_by_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let path = file.to_str().unwrap();
        let print = |name: &'static str| Print::of_setting(name, path);
        let missing = print("client_secret_file");
        std::fs::write(&file, "hunter2").unwrap();
        let there = print("client_secret_file");
        assert_ne!(there, missing);
        assert_eq!(there, print("client_secret_file"));
        let looked_at_elsewhere = print("tls_certificate");
        std::fs::write(&file, "hunter3").unwrap();
        assert_ne!(there, print("client_secret_file"));
        assert_eq!(looked_at_elsewhere, print("tls_certificate"));
        assert!(!format!("{there:?}").contains("hunter"));
    }
}
