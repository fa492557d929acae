//! Requests to where strangers say, over real sockets: where they end, and where they do not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use entrada::platform::{
    HttpTransport as _, PublicWeb, PublicWebSettings, Resolver, TransportError,
};
use http::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const NAME: &str = "client.example";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

/// A web server with a certificate for [`NAME`], and for no address.
struct Site {
    address: SocketAddr,
    authority: String,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Site {
    /// Answers every request so.
    async fn answering(answer: impl Into<String>) -> Self {
        let (authority, config) = certificate();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (counted, kept) = (Arc::clone(&connections), Arc::clone(&heads));
        let answer = answer.into();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                // Whoever does not trust the certificate hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let head = read_head(&mut stream).await;
                kept.lock().unwrap().push(head);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            address,
            authority,
            connections,
            heads,
            _serving: serving,
        }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/client.json", self.address.port())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A web in which names resolve so, and this server is trusted.
    fn web(&self, resolver: &Arc<Names>, adjust: impl FnOnce(&mut PublicWebSettings)) -> PublicWeb {
        let mut settings = PublicWebSettings::default();
        settings.resolver = resolver.clone();
        settings.certificate_authorities = self.authority.clone().into_bytes();
        adjust(&mut settings);
        PublicWeb::new(settings).unwrap()
    }

    /// One in which the server's own address is taken for public.
    fn web_here(&self, resolver: &Arc<Names>) -> PublicWeb {
        self.web(resolver, |settings| {
            settings.insecure_addresses = vec![HERE];
        })
    }
}

/// An authority, and what a server is that it vouches for.
fn certificate() -> (String, ServerConfig) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new([NAME.to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority_pem, config)
}

async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A resolver that says one thing after another, and then the last for good.
#[derive(Debug)]
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    fn saying(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            addresses.collect()
        };
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolver for Names {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(asked).or_else(|| self.answers.last());
        Ok(answer.cloned().unwrap_or_default())
    }
}

async fn get(web: &PublicWeb, url: &str) -> Result<Response<Bytes>, TransportError> {
    web.send(Request::get(url).body(Bytes::new()).unwrap())
        .await
}

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
async fn the_certificate_is_that_of_the_name() {
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

#[tokio::test]
async fn a_name_that_leads_inside_is_not_asked() {
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
        assert!(refused.leads_nowhere_public(), "{addresses:?}: {refused:?}");
    }
    let nobody = site.web(&Names::saying(&[&[]]), |_| {});
    let refused = get(&nobody, &site.url(NAME)).await.unwrap_err();
    assert!(!refused.leads_nowhere_public(), "{refused:?}");
    assert_eq!(site.connections(), 0);
}

/// DNS rebinding: the first answer is public, the second is not.
#[tokio::test]
async fn a_name_that_changes_its_mind_is_not_followed() {
    let site = Site::answering(OK).await;
    let names = Names::saying(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let web = site.web_here(&names);
    // One look, one connection: what the name says later does not matter.
    get(&web, &site.url(NAME)).await.unwrap();
    assert_eq!((names.asked(), site.connections()), (1, 1));
    let refused = get(&web, &site.url(NAME)).await.unwrap_err();
    assert!(refused.leads_nowhere_public(), "{refused:?}");
    assert_eq!(site.connections(), 1);
}

#[tokio::test]
async fn an_address_is_no_way_around() {
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
        assert!(refused.leads_nowhere_public(), "{host}: {refused:?}");
    }
    let plain = site.url(NAME).replace("https:", "http:");
    let refused = get(&web, &plain).await.unwrap_err();
    assert!(refused.leads_nowhere_public(), "{refused:?}");
    assert_eq!((names.asked(), site.connections()), (0, 0));
}

#[tokio::test]
async fn no_redirect_is_followed_and_nothing_endless_is_read() {
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
    assert!(!refused.leads_nowhere_public(), "{refused:?}");
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
        assert!(refused.leads_nowhere_public(), "{inside}: {refused:?}");
    }
    assert_eq!((names.asked(), tunnels.lock().unwrap().len()), (0, 1));
}
