//! MCP servers for the gateway to stand in front of.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Takes one request after another, each on a connection of its own, and keeps it as it came.
pub(crate) struct RawUpstream {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

impl RawUpstream {
    /// Answers every request with `answer`, byte for byte, then closes.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url_of(listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                sender.send(read_request(&mut stream).await).unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            url,
            requests,
            _tasks: tasks,
        }
    }

    /// The next request: its head and its body.
    pub(crate) async fn request(&mut self) -> (Vec<String>, String) {
        let request = self.requests.recv().await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (
            head.split("\r\n").map(str::to_owned).collect(),
            body.to_owned(),
        )
    }

    pub(crate) fn was_asked(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

/// Reads a request whose length is declared.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let declared = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = declared.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text.into_owned();
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// Serves `router` on a free port.
pub(crate) async fn serve(router: axum::Router, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of(listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}/mcp")
}
