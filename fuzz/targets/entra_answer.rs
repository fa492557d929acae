//! Whatever the token endpoint of Entra answers, it is understood or says what helps.
#![no_main]

use entrada::entra::error::{EntraError, Remedy};
use entrada::entra::token::EntraTokens;
use http::header::RETRY_AFTER;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: (u16, &str, &[u8])| {
    let (status, retry_after, body) = answer;
    let Ok(response) = http::Response::builder()
        .status(100 + status % 500)
        .header(RETRY_AFTER, retry_after)
        .body(body.to_vec().into())
    else {
        return;
    };
    match EntraTokens::from_http(&response) {
        Ok(_) => assert!(response.status().is_success()),
        Err(error) => {
            let over = matches!(error.remedy(), Remedy::SignInAgain);
            let refused = matches!(error, EntraError::Refused(_));
            assert!(refused || !over, "only Entra saying so ends a grant");
        }
    }
});
