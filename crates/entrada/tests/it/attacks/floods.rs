//! Whoever comes again and again, and says to be somebody else.

use entrada::authorization_server::RateLimits;
use http::Method;
use serde_json::json;

use super::server::FORM;
use crate::client::Client;
use crate::world::{CALLBACK, SECOND, World};

#[tokio::test]
async fn registrations_are_rationed() {
    let world = World::new().await;
    let metadata = json!({"redirect_uris": ["https://evil.example/cb"]}).to_string();
    let json = [("content-type", "application/json")];
    let register = (Method::POST, "/register");
    let mut taken = 0;
    // One address, and then a network of IPv6 that changes it at every turn.
    for network in ["203.0.113.5", "2001:db8:666::"] {
        for n in 0..1000 {
            let peer = if network.ends_with(':') {
                format!("{network}{n:x}")
            } else {
                network.to_owned()
            };
            let answer = world.ask_from(&peer, register.clone(), &json, &metadata);
            let answer = answer.await;
            taken += u64::from(answer.status.is_success());
            if !answer.status.is_success() {
                answer.assert_refused(429, "temporarily_unavailable");
                assert_eq!(answer.header("retry-after"), Some("60"));
            }
        }
    }
    assert_eq!(taken, 2 * 60);
    // Somebody else is not held back.
    let else_where = world.ask_from("198.51.100.7", register, &json, &metadata);
    assert_eq!(else_where.await.status, 201);
    // Those that nobody used are forgotten.
    world.advance(91 * 24 * 3600 * SECOND);
    assert!(world.provider.sweep().await.unwrap() > taken);
}

/// Day and night, from all the addresses it takes.
#[tokio::test]
async fn flood_of_registrations_does_not_fill_the_store() {
    let mut limits = RateLimits::NONE;
    limits.register = 4;
    let world = World::with(|config| config.rate_limits(limits)).await;
    let metadata = json!({"redirect_uris": [CALLBACK]});
    let json = [("content-type", "application/json")];
    let register = (Method::POST, "/register");
    let mut taken = 0;
    let mut last = None;
    for minute in 0..4 {
        for n in 0..250 {
            let peer = format!("10.{minute}.{}.{}", n / 100, n % 100);
            let body = metadata.to_string();
            let answer = world.ask_from(&peer, register.clone(), &json, &body).await;
            if answer.status.is_success() {
                taken += 1;
                last = Some(answer.json);
            }
        }
        world.advance(60 * SECOND);
    }
    assert_eq!(taken, 4 * 200);
    // Whoever came in the midst of it, and signed in.
    let client = Client::registered(world.hosts.clone(), &last.unwrap());
    client.log_in(&mut world.browser(), "alice").await;
    world.advance(3600 * SECOND);
    let forgotten = world.provider.sweep().await.unwrap();
    assert!(forgotten >= 800 - 400 - 1, "{forgotten}");
    client.log_in(&mut world.browser(), "alice").await;
}

/// All of them: whoever has many addresses is held, too, and others still get in.
#[tokio::test]
async fn flood_from_many_addresses_leaves_room_for_others() {
    let world = World::new().await;
    let metadata = json!({"redirect_uris": ["https://evil.example/cb"]}).to_string();
    let json = [("content-type", "application/json")];
    let register = (Method::POST, "/register");
    let mut taken = 0;
    for n in 0..2000 {
        let peer = format!("10.1.{}.{}", n % 20, n % 7);
        let answer = world.ask_from(&peer, register.clone(), &json, &metadata);
        taken += u64::from(answer.await.status.is_success());
    }
    // A hundred and forty addresses, each of which had its turn fourteen times.
    assert_eq!(taken, 140 * 6);
    let somebody = world.ask_from("198.51.100.7", register, &json, &metadata);
    assert_eq!(somebody.await.status, 201);
}

#[tokio::test]
async fn guesses_at_the_token_endpoint_are_rationed() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let client_id = session.claims()["client_id"].as_str().unwrap().to_owned();
    let guess = format!("grant_type=refresh_token&client_id={client_id}&refresh_token=guess");
    let token = (Method::POST, "/token");
    let mut refused = 0;
    for _ in 0..400 {
        let answer = world.ask_from("203.0.113.5", token.clone(), &[FORM], &guess);
        let answer = answer.await;
        if answer.status == 429 {
            refused += 1;
        } else {
            answer.assert_refused(400, "invalid_grant");
        }
    }
    assert_eq!(refused, 100);
    // Whoever it belongs to is elsewhere.
    assert_eq!(session.refresh().await.status, 200);
}

/// Somebody writes another's address into the header that proxies use.
#[tokio::test]
async fn address_is_not_what_a_client_says_it_is() {
    let world = World::with(|config| config.trusted_proxies(["10.0.0.0/8"])).await;
    let metadata = json!({"redirect_uris": ["https://evil.example/cb"]}).to_string();
    let register = (Method::POST, "/register");
    let mut taken = [0, 0];
    for n in 0..100 {
        let made_up = format!("198.51.100.{n}");
        let behind_the_proxy = format!("{made_up}, 203.0.113.5");
        for (at, (peer, said)) in [("203.0.113.6", &made_up), ("10.0.0.1", &behind_the_proxy)]
            .into_iter()
            .enumerate()
        {
            let headers = [
                ("content-type", "application/json"),
                ("x-forwarded-for", said),
            ];
            let answer = world.ask_from(peer, register.clone(), &headers, &metadata);
            taken[at] += usize::from(answer.await.status.is_success());
        }
    }
    assert_eq!(taken, [60, 60]);
}
