//! Whatever a client writes into `X-Forwarded-For`, it is at most the word of a proxy that is trusted.
#![no_main]

use std::net::IpAddr;

use entrada::authorization_server::TrustedProxies;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|said: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in said.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value);
        }
    }
    let stranger = IpAddr::from([192, 0, 2, 7]);
    let mut proxies = TrustedProxies::default();
    assert_eq!(proxies.client(stranger, &headers), stranger);
    proxies.add("10.0.0.0/8").expect("a network");
    assert_eq!(proxies.client(stranger, &headers), stranger);
    // The last proxy that is trusted, or what it said: the last address that is not.
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let client = proxies.client(proxy, &headers);
    assert_eq!(client, client.to_canonical());
});
