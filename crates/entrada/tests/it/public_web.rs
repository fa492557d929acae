//! Requests to where strangers say, over real sockets.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::site::{HERE, NAME, Names, OK, Site, get, is_not_public, read_head};

#[tokio::test]
async fn a_request_goes_to_the_address_that_was_looked_at_in_the_name_of_the_host() {
    let site = Site::answering(OK).await;
    let names = Names::saying(&[&["127.0.0.1"]]);
    let web = site.web_here(&names);
    let response = get(&web, &site.url(NAME)).await.unwrap();
    assert_eq!(response.body(), "hi");
    let head = site.heads.lock().unwrap()[0].clone();
    let host = format!("host: {NAME}:{}\r\n", site.address.port());
    assert!(head.contains(&host), "{head}");
    assert_eq!((names.asked(), site.connections()), (1, 1));
    // Each request asks anew.
    get(&web, &site.url(NAME)).await.unwrap();
    assert_eq!((names.asked(), site.connections()), (2, 2));
}

#[tokio::test]
async fn a_proxy_finds_the_addresses_but_of_the_inside() {
    let site = Site::answering(OK).await;
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let behind = site.address;
    let tunnels = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&tunnels);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let head = read_head(&mut client).await;
            kept.lock().unwrap().push(head);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    let names = Names::saying(&[&["127.0.0.1"]]);
    let web = site.web(&names, |settings| settings.egress_proxy = Some(proxy));
    assert_eq!(get(&web, &site.url(NAME)).await.unwrap().body(), "hi");
    let tunnel = tunnels.lock().unwrap()[0].clone();
    let expected = format!("CONNECT {NAME}:{} ", site.address.port());
    assert!(tunnel.starts_with(&expected), "{tunnel}");
    for inside in [
        "localhost",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "intranet",
        "127.0.0.1",
    ] {
        let refused = get(&web, &site.url(inside)).await.unwrap_err();
        assert!(is_not_public(&refused), "{inside}: {refused:?}");
    }
    assert_eq!((names.asked(), tunnels.lock().unwrap().len()), (0, 1));
}
