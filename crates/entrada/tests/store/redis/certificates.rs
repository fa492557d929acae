//! Whose word a store takes for who they are.

use entrada::store::{RedisSettings, RedisStore, Store as _};

use super::cluster::{Cluster, give, owner_and_next};
use super::replicas::Watched;
use super::server::{Family, Server, Tls};
use super::{entry, new_key, open, told, works_again};

async fn refusal(store: &RedisStore) -> String {
    told(&store.put(&new_key(), entry("grant")).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_another_authority_vouches_for_is_not_believed() {
    for family in Family::ALL {
        let (tls, other) = (Tls::new(), Tls::new());
        let server = Server::start_with_tls(family, &tls);
        let parameters = tls.parameters();
        works_again(&open(&server.url(&parameters))).await;
        let [ours, theirs] = [&tls, &other].map(|it| it.path("ca.pem").display().to_string());
        let refused = refusal(&open(&server.url(&parameters.replace(&ours, &theirs)))).await;
        assert!(refused.contains("certificate"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_not_believed_without_a_certificate_for_its_name() {
    for family in Family::ALL {
        let (tls, other) = (Tls::new(), Tls::new());
        let cluster = Cluster::start_with_tls(family, &tls);
        let store = open(&cluster.url("prefix=entrada:{x}"));
        let slot = cluster.keyslot("x");
        let (from, to) = owner_and_next(&cluster, &slot);
        assert!(store.read(&new_key()).await.unwrap().is_none());
        give(&slot, (from, to));

        for (certificate, key) in [other.certify("127.0.0.1"), tls.certify("elsewhere.example")] {
            to.show(&certificate, &key);
            // A redirection leads there, and so does the map of whoever reads it anew.
            for store in [&store, &open(&cluster.url("prefix=entrada:{x}"))] {
                let refused = refusal(store).await;
                assert!(refused.contains("certificate"), "{refused}");
            }
        }
        to.show(&tls.path("cert.pem"), &tls.path("key.pem"));
        works_again(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_primary_are_not_believed_without_certificates_for_their_names() {
    for family in Family::ALL {
        let (tls, other) = (Tls::new(), Tls::new());
        let watched = Watched::start_with_tls(family, &tls);
        let url = watched.url("");
        works_again(&open(&url)).await;
        let [ours, theirs] = [&tls, &other].map(|it| it.path("ca.pem").display().to_string());
        let sentinel = format!(":{}/", watched.sentinel.port());
        let by_name = url.replace(
            &format!("127.0.0.1{sentinel}"),
            &format!("localhost{sentinel}"),
        );
        for url in [url.replace(&ours, &theirs), by_name] {
            let refused = refusal(&open(&url)).await;
            assert!(refused.contains("certificate"), "{refused}");
            assert!(
                refused.contains(sentinel.trim_end_matches('/')),
                "{refused}"
            );
        }
        for (certificate, key) in [other.certify("127.0.0.1"), tls.certify("elsewhere.example")] {
            watched.primary.show(&certificate, &key);
            let refused = refusal(&open(&url)).await;
            assert!(refused.contains("certificate"), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_named_by_address_show_the_certificate_of_the_name_that_is_told() {
    let tls = Tls::new();
    let cluster = Cluster::start_with_tls(Family::Redis, &tls);
    let (certificate, key) = tls.certify("redis.example");
    for node in &cluster.primaries {
        node.show(&certificate, &key);
    }
    works_again(&open(&cluster.url("tls_name=redis.example"))).await;
    for parameters in ["", "tls_name=other.example"] {
        let refused = refusal(&open(&cluster.url(parameters))).await;
        assert!(refused.contains("certificate"), "{refused}");
    }
}

#[test]
fn files_of_certificates_must_be_what_they_are_said_to_be() {
    let tls = Tls::new();
    let ours = tls.path("ca.pem").display().to_string();
    let key = tls.path("key.pem").display().to_string();
    for (wrong, says) in [
        (key.as_str(), "does not hold certificates"),
        ("/none", "read"),
    ] {
        let parameters = tls.parameters().replace(&ours, wrong);
        let url = format!("rediss://127.0.0.1?{parameters}");
        let settings = RedisSettings::from_url(&url).unwrap();
        let refusal = RedisStore::open(settings).unwrap_err().to_string();
        assert!(refusal.contains(says), "{refusal}");
    }
}
