//! A document is refused, or describes the client at its own URL, with its own redirect URIs and no others.
#![no_main]

use entrada::oauth::client::{Client, ClientId};
use entrada::oauth::client_document::{ClientDocumentUrl, UnverifiedClientDocument};
use entrada::oauth::redirect_uri::AllowedRedirects;
use entrada::platform::Timestamp;
use libfuzzer_sys::fuzz_target;

const URL: &str = "https://app.example/client.json";

fuzz_target!(|input: &[u8]| {
    if let Some(url) = std::str::from_utf8(input)
        .ok()
        .and_then(|text| ClientId::parse(text).ok())
        .and_then(|id| ClientDocumentUrl::parse(&id).ok())
    {
        let read = url::Url::parse(url.id().as_str()).expect("a url");
        assert_eq!(
            (read.scheme(), read.host_str()),
            ("https", Some(url.host()))
        );
        assert_eq!(read.as_str(), url.id().as_str());
    }
    let id = ClientId::parse(URL).expect("a client id");
    let url = ClientDocumentUrl::parse(&id).expect("a document's url");
    let Ok(document) = UnverifiedClientDocument::read(input) else {
        return;
    };
    let Ok(metadata) = document.check(&url, &AllowedRedirects::Registered) else {
        return;
    };
    assert!(metadata.unverified_name().is_some());
    let uris = metadata.redirect_uris().to_vec();
    let client = Client::register(id, metadata, Timestamp::from_unix(0));
    for uri in &uris {
        let trusted = client.trusted_redirect(Some(uri.as_str()));
        assert_eq!(trusted.expect("its own redirect URI").uri(), uri);
    }
    if !uris.iter().any(|uri| uri.as_str().contains("stranger")) {
        assert!(
            client
                .trusted_redirect(Some("https://stranger.example/"))
                .is_none()
        );
    }
});
