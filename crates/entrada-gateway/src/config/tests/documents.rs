//! The settings of clients that a document describes.

use super::*;

#[test]
fn whose_documents_are_believed_is_a_list_or_nobodys() {
    let hosts = |value: Option<&str>| {
        let more = value.map(|value| ("ENTRADA_CLIENT_DOCUMENT_HOSTS", value));
        let settings = read(&[], &least_and(more.as_slice())).unwrap();
        assert!(settings.provider.rehearse(&[]).is_empty());
        settings.provider.client_document_hosts
    };
    assert_eq!(hosts(None), None);
    assert_eq!(hosts(Some("none")), Some(vec![]));
    let two = vec!["claude.ai".to_owned(), "*.example.com".to_owned()];
    assert_eq!(hosts(Some("claude.ai *.example.com")), Some(two));
}

#[test]
fn what_is_no_host_proxy_or_address_is_a_problem() {
    for (variable, value, expected) in [
        (
            "ENTRADA_CLIENT_DOCUMENT_HOSTS",
            "https://claude.ai",
            "ENTRADA_CLIENT_DOCUMENT_HOSTS: \"https://claude.ai\": write a host such as claude.ai, or \
             *.example.com for all below it",
        ),
        (
            "ENTRADA_EGRESS_PROXY",
            "proxy.internal",
            "ENTRADA_EGRESS_PROXY: write a URL such as http://proxy.internal:3128",
        ),
        (
            "ENTRADA_EGRESS_PROXY",
            "socks5://proxy.internal",
            "ENTRADA_EGRESS_PROXY: write a URL such as http://proxy.internal:3128",
        ),
        (
            "ENTRADA_EGRESS_PROXY",
            "http://user:s3cret@proxy.internal:3128",
            "ENTRADA_EGRESS_PROXY: take the user name and password out of the URL",
        ),
        (
            "ENTRADA_INSECURE_DOCUMENT_ADDRESSES",
            "127.0.0.1 localhost",
            "ENTRADA_INSECURE_DOCUMENT_ADDRESSES: \"localhost\" is no IP address",
        ),
    ] {
        let found = match read(&[], &least_and(&[(variable, value)])) {
            Ok(settings) => settings.provider.rehearse(&[]),
            Err(error) => error.problems().to_vec(),
        };
        let told: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(told, [expected], "{variable}");
    }
    let proxy = ("ENTRADA_EGRESS_PROXY", "http://proxy.internal:3128");
    let settings = read(&[], &least_and(&[proxy])).unwrap();
    let proxy = settings.provider.egress_proxy.unwrap();
    assert_eq!(proxy.as_str(), "http://proxy.internal:3128/");
}
