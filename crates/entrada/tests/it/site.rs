//! A stranger's web server, over real sockets, and names that lead to it or elsewhere.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use entrada::platform::{
    HttpTransport as _, NotPublic, PublicWeb, PublicWebSettings, Resolver, TransportError,
};
use http::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

pub(crate) const NAME: &str = "client.example";
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// A web server with a certificate for [`NAME`], and for no address.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    authority: String,
    connections: Arc<AtomicUsize>,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Site {
    /// Answers every request so.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
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
                // One request after another, as long as the connection is kept.
                loop {
                    let head = read_head(&mut stream).await;
                    if head.is_empty() {
                        break;
                    }
                    kept.lock().unwrap().push(head);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    if answer.contains("connection: close") {
                        let _ = stream.shutdown().await;
                        break;
                    }
                }
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

    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/client.json", self.address.port())
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A web in which names resolve so, and this server is trusted.
    pub(crate) fn web(
        &self,
        resolver: &Arc<Names>,
        adjust: impl FnOnce(&mut PublicWebSettings),
    ) -> PublicWeb {
        let mut settings = PublicWebSettings::default();
        settings.resolver = resolver.clone();
        settings.certificate_authorities = self.authority.clone().into_bytes();
        adjust(&mut settings);
        PublicWeb::new(settings).unwrap()
    }

    /// One in which the server's own address is taken for public.
    pub(crate) fn web_here(&self, resolver: &Arc<Names>) -> PublicWeb {
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

pub(crate) async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
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
pub(crate) struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    pub(crate) fn saying(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            addresses.collect()
        };
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }

    pub(crate) fn asked(&self) -> usize {
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

pub(crate) async fn get(web: &PublicWeb, url: &str) -> Result<Response<Bytes>, TransportError> {
    web.send(Request::get(url).body(Bytes::new()).unwrap())
        .await
}

/// Whether a host was not asked at all, because it is not public.
pub(crate) fn is_not_public(error: &TransportError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error.source);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}
