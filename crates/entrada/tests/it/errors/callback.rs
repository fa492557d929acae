//! What a browser gets that Entra sent back in vain.

use entra_emulator::{Endpoint, Failure};
use entrada::store::Collection;
use url::Url;

use super::{Stage, Surface};
use crate::browser::Stop;
use crate::client::parameter;
use crate::world::BASE_URL;

impl Stage {
    /// A login up to the callback.
    async fn signed_in(&mut self) -> Url {
        let page = self.asked(&[]).await.page();
        self.browser.stop_before = Some("/auth/callback");
        let back = self.browser.approve(&page, "alice").await.left();
        self.browser.stop_before = None;
        back
    }

    /// A login that comes back with `error`.
    async fn failed(&mut self, error: &str) -> Stop {
        let back = self.signed_in().await;
        let state = parameter(&back, "state").unwrap();
        let url = format!("{BASE_URL}/auth/callback?state={state}&error={error}");
        self.browser.get(&url).await
    }

    /// A login whose code Entra does not take.
    async fn refused(&mut self, failure: Failure) -> Stop {
        let back = self.signed_in().await;
        self.world.entra.fail_next(Endpoint::Token, 1, failure);
        self.browser.get(back.as_str()).await
    }
}

fn refusal(error: &str, aadsts: u32) -> Failure {
    Failure::Error {
        aadsts,
        error: error.to_owned(),
        suberror: None,
        claims: None,
    }
}

pub(super) async fn rows(surface: &mut Surface) {
    surface.section("GET /auth/callback (CallbackError)");
    let mut stage = Stage::new().await;
    let malformed = stage
        .browser
        .get(&format!("{BASE_URL}/auth/callback"))
        .await;
    surface.stop("Malformed", &malformed);
    let back = stage.signed_in().await;
    let other = stage.world.browser().get(back.as_str()).await;
    surface.stop("OtherBrowser", &other);
    let mut copy = stage.browser.clone();
    stage.browser.get(back.as_str()).await.left();
    surface.stop("UnknownLogin", &copy.get(back.as_str()).await);
    for (error, entra) in [
        ("Entra(AccessDenied)", "access_denied"),
        ("Entra(TemporarilyUnavailable)", "server_error"),
        ("Entra(Other)", "invalid_request"),
    ] {
        surface.stop(error, &stage.failed(entra).await);
    }
    for (error, failure) in [
        ("Redeem, Remedy::Retry", Failure::Status(503)),
        (
            "Redeem, Remedy::SignInAgain",
            refusal("invalid_grant", 70_000),
        ),
        (
            "Redeem, Remedy::StepUp",
            refusal("interaction_required", 50_076),
        ),
        (
            "Redeem, Remedy::FixConfiguration",
            refusal("invalid_client", 7_000_215),
        ),
    ] {
        surface.stop(error, &stage.refused(failure).await);
    }
    let back = stage.signed_in().await;
    stage.store.begin_at("take", Collection::Requests);
    surface.stop("Store", &stage.browser.get(back.as_str()).await);
    stage.store.end();
    let back = stage.signed_in().await;
    stage.store.begin_at("put_new", Collection::Codes);
    surface.stop("StoreCode", &stage.browser.get(back.as_str()).await);
    let mut stage = Stage::new().await;
    let back = stage.signed_in().await;
    stage.world.intercept(|_, answer| {
        if answer.get("scope").is_some() {
            answer["scope"] = "openid profile".into();
        }
    });
    surface.stop("NothingGranted", &stage.browser.get(back.as_str()).await);
}
