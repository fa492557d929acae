//! A gateway before a server whose every byte the test writes.

use std::net::SocketAddr;
use std::time::Duration;

use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::gateway::gateway;
use entrada_gateway::route::Routes;
use entrada_gateway::server::Server;
use entrada_gateway::tls::Certificates;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Session;
use crate::world::World;

/// What a client sends besides its token (RFC 6455 §1.3).
pub(crate) const HANDSHAKE: &str = "upgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";

/// What shows that a server read it.
pub(crate) const CONFIRMED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
    connection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) session: Session,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
    pub(crate) upstream: TcpListener,
}

impl Stage {
    /// Alice is signed in, and WebSockets are passed through.
    pub(crate) async fn new() -> Self {
        Self::on(World::new().await, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn with(adjust: impl FnOnce(&mut UpstreamSettings)) -> Self {
        Self::on(World::new().await, adjust).await
    }

    /// The same in front of `world`.
    pub(crate) async fn on(world: World, adjust: impl FnOnce(&mut UpstreamSettings)) -> Self {
        Self::inside(world, None, adjust).await
    }

    /// The same, where clients speak TLS if there are `certificates`.
    pub(crate) async fn inside(
        world: World,
        certificates: Option<Certificates>,
        adjust: impl FnOnce(&mut UpstreamSettings),
    ) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", upstream.local_addr().unwrap());
        let mut settings = UpstreamSettings::new(url.parse().unwrap());
        settings.websocket = true;
        adjust(&mut settings);
        let servers = Routes::new(&world.provider, &[settings]).unwrap();
        let router = gateway(&world.provider, &servers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut serving) = (CancellationToken::new(), JoinSet::new());
        let server = Server::new(listener, router, Duration::from_millis(200));
        let server = match certificates {
            Some(certificates) => server.tls(certificates),
            None => server,
        };
        serving.spawn(server.run(stop.clone()));
        let session = world.log_in("alice").await;
        Self {
            world,
            session,
            address,
            stop,
            serving,
            upstream,
        }
    }

    /// A connection of a client that has sent `text`.
    pub(crate) async fn client(&self, text: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(text.as_bytes()).await.unwrap();
        client
    }

    /// Alice asks for `path` with these header lines.
    pub(crate) fn asking(&self, path: &str, lines: &str) -> String {
        let token = &self.session.access_token;
        format!(
            "GET {path} HTTP/1.1\r\nhost: mcp.example.com\r\nauthorization: Bearer {token}\r\n{lines}\r\n"
        )
    }

    /// A connection of the gateway to the server, and the request that came on it.
    pub(crate) async fn accept(&self) -> (TcpStream, String) {
        let (stream, head) = self.accept_as_it_is().await;
        (stream, plain(&head))
    }

    /// The same, with large letters.
    pub(crate) async fn accept_as_it_is(&self) -> (TcpStream, String) {
        let (mut stream, _) = self.upstream.accept().await.unwrap();
        let head = head_as_it_is(&mut stream).await;
        (stream, head)
    }

    /// Both ends of a WebSocket that was just opened.
    pub(crate) async fn open(&self) -> (TcpStream, TcpStream) {
        let mut client = self.client(&self.asking("/mcp", HANDSHAKE)).await;
        let (mut server, _) = self.accept().await;
        server.write_all(CONFIRMED.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        (client, server)
    }

    /// What is answered to `text`: its head, once the server was not asked.
    pub(crate) async fn refused(&self, text: &str) -> String {
        let mut client = self.client(text).await;
        tokio::select! {
            answer = head(&mut client) => answer,
            _ = self.upstream.accept() => panic!("the server was asked"),
        }
    }
}

/// Reads up to the end of a head, and not a byte more; in small letters.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    plain(&head_as_it_is(stream).await)
}

async fn head_as_it_is(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn plain(head: &str) -> String {
    head.to_ascii_lowercase().replace("http/1.1", "HTTP/1.1")
}

/// Checks that `bytes` arrive next.
pub(crate) async fn expect(stream: &mut (impl AsyncRead + Unpin), bytes: &[u8]) {
    let mut seen = vec![0; bytes.len()];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, bytes);
}

/// Waits until the other end is gone, however.
pub(crate) async fn gone(stream: &mut (impl AsyncRead + Unpin)) {
    assert_eq!(stream.read_u8().await.ok(), None);
}

/// Waits until the client is told to go, by this code, and the connection ends.
pub(crate) async fn told(client: &mut (impl AsyncRead + Unpin), code: u16) {
    let mut frame = [0; 4];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[0], 0x88, "a Close frame, and nothing else");
    assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), code);
    let mut reason = vec![0; usize::from(frame[1]) - 2];
    client.read_exact(&mut reason).await.unwrap();
    assert!(str::from_utf8(&reason).unwrap().is_ascii());
    gone(client).await;
}
