//! Whoever names a URL to us reaches nothing that they could not reach themselves.

use crate::site::{HERE, NAME, Names, OK, Site, get, is_not_public};

#[tokio::test]
async fn name_that_leads_inside_is_not_asked() {
    let site = Site::answering(OK).await;
    for addresses in [
        &["127.0.0.1"][..],
        &["1.1.1.1", "127.0.0.1"],
        &["10.0.0.1"],
        &["169.254.169.254"],
        &["168.63.129.16"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["fd00:ec2::254"],
    ] {
        let web = site.web(&Names::saying(&[addresses]), |_| {});
        let refused = get(&web, &site.url(NAME)).await.unwrap_err();
        assert!(is_not_public(&refused), "{addresses:?}: {refused:?}");
    }
    let nobody = site.web(&Names::saying(&[&[]]), |_| {});
    let refused = get(&nobody, &site.url(NAME)).await.unwrap_err();
    assert!(!is_not_public(&refused), "{refused:?}");
    assert_eq!(site.connections(), 0);
}

/// DNS rebinding: the first answer is public, the second is not.
#[tokio::test]
async fn name_that_changes_its_mind_is_not_followed() {
    let site = Site::answering(OK).await;
    let names = Names::saying(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let web = site.web_here(&names);
    // One look, one connection: what the name says later does not matter.
    get(&web, &site.url(NAME)).await.unwrap();
    assert_eq!((names.asked(), site.connections()), (1, 1));
    let refused = get(&web, &site.url(NAME)).await.unwrap_err();
    assert!(is_not_public(&refused), "{refused:?}");
    assert_eq!(site.connections(), 1);
}

#[tokio::test]
async fn address_is_no_way_around_the_resolver() {
    let site = Site::answering(OK).await;
    let names = Names::saying(&[&["1.1.1.1"]]);
    let web = site.web(&names, |_| {});
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ] {
        let refused = get(&web, &site.url(host)).await.unwrap_err();
        assert!(is_not_public(&refused), "{host}: {refused:?}");
    }
    let plain = site.url(NAME).replace("https:", "http:");
    let refused = get(&web, &plain).await.unwrap_err();
    assert!(is_not_public(&refused), "{refused:?}");
    assert_eq!((names.asked(), site.connections()), (0, 0));
}

#[tokio::test]
async fn stranger_sends_us_nowhere_and_keeps_us_at_nothing() {
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/admin\r\n\
                     content-length: 0\r\nconnection: close\r\n\r\n";
    let site = Site::answering(elsewhere).await;
    let web = site.web_here(&Names::saying(&[&["127.0.0.1"]]));
    let response = get(&web, &site.url(NAME)).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(site.connections(), 1);

    let large = "x".repeat(64 * 1024 + 1);
    let site = Site::answering(format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}"
    ))
    .await;
    let web = site.web_here(&Names::saying(&[&["127.0.0.1"]]));
    let refused = get(&web, &site.url(NAME)).await.unwrap_err();
    assert!(!is_not_public(&refused), "{refused:?}");
}

#[tokio::test]
async fn stranger_poses_as_no_other_host() {
    let site = Site::answering(OK).await;
    let web = site.web_here(&Names::saying(&[&["127.0.0.1"]]));
    assert!(get(&web, &site.url("other.example")).await.is_err());
    // Its own address is no name of it either.
    assert!(get(&web, &site.url("127.0.0.1")).await.is_err());
    let untrusted = site.web(&Names::saying(&[&["127.0.0.1"]]), |settings| {
        settings.insecure_addresses = vec![HERE];
        settings.certificate_authorities.clear();
    });
    assert!(get(&untrusted, &site.url(NAME)).await.is_err());
    assert!(site.heads.lock().unwrap().is_empty());
}
