//! What an MCP server answers to whoever only looks whether it is there.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinSet;

use crate::config::{Transport, UpstreamSettings};
use crate::upstream::connections::Connections;
use crate::upstream::content::RequestContent;
use crate::upstream::error::ForwardError;
use crate::upstream::headers::{clean_request, is_event_stream};
use crate::upstream::lent::{Lender, Lent};
use crate::upstream::place::Place;
use crate::upstream::replicas::{MCP_SESSION_ID, Replicas};
use crate::upstream::stdio::child::{ChildCommand, Pipes, Process};
use crate::upstream::tls::UpstreamError;

/// What a server answered to the opening of a session (MCP 2025-06-18, *Lifecycle*).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Greeting {
    /// Where it speaks HTTP.
    pub(crate) status: StatusCode,
    pub(crate) message: Option<Value>,
}

/// Why a server answered nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoGreeting {
    #[error(transparent)]
    Http(#[from] ForwardError),
    #[error("the program cannot be started")]
    Start(#[source] io::Error),
    #[error("the program ended without an answer; the last it said was {said:?}")]
    Ended { said: String },
    #[error("the program wrote {said:?} to standard output, where messages of MCP alone may stand")]
    Chatter { said: String },
    #[error("the program does not answer")]
    Silent,
}

impl Greeting {
    /// What the server calls itself.
    pub(crate) fn name(&self) -> Option<&str> {
        self.message
            .as_ref()?
            .pointer("/result/serverInfo/name")?
            .as_str()
    }

    /// What it said no with.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.message.as_ref()?.pointer("/error/message")?.as_str()
    }

    /// Whether it speaks MCP, even if it said no: it answers, and does not say back what it was asked.
    pub(crate) fn is_mcp(&self) -> bool {
        self.message.as_ref().is_some_and(|message| {
            let has = |name: &str| message.get(name).is_some();
            let is_rpc = message
                .get("jsonrpc")
                .is_some_and(|version| version == "2.0");
            is_rpc && (has("result") || has("error"))
        })
    }
}

/// What a server, or each of its replicas, answers, and where that is; it is called by the name that clients of
/// `resource` would call it by.
///
/// # Errors
///
/// [`UpstreamError`] if it cannot be reached as the settings say.
pub(crate) async fn greeted(
    settings: &UpstreamSettings,
    resource: &Uri,
) -> Result<Vec<(String, Result<Greeting, NoGreeting>)>, UpstreamError> {
    Ok(match &settings.transport {
        Transport::Http(places) => {
            let mut headers = HeaderMap::new();
            clean_request(&mut headers, settings.host_header, resource.authority());
            let replicas = Replicas::new(places, settings)?;
            let greetings = replicas.greeted(&headers).await;
            places.iter().map(Place::whole).zip(greetings).collect()
        }
        Transport::Stdio(stdio) => {
            let greeting = greet_child(&stdio.command).await;
            vec![(settings.transport.shown(), greeting)]
        }
    })
}

/// Opens a session at `uri`, and ends it.
///
/// # Errors
///
/// [`NoGreeting`] if there was no answer.
pub(super) async fn greet(
    connections: &Connections,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Greeting, NoGreeting> {
    let asked = ask(connections, uri, headers);
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    Ok(asked.map_err(|_| ForwardError::TimedOut)??)
}

/// Starts `command`, opens a session with it, and ends it.
///
/// # Errors
///
/// [`NoGreeting`] if it cannot be started, or says nothing.
async fn greet_child(command: &ChildCommand) -> Result<Greeting, NoGreeting> {
    let (mut child, pipes) = Process::start(command, &[]).map_err(NoGreeting::Start)?;
    let Pipes {
        stdin,
        stdout,
        stderr,
    } = pipes;
    // What is not read holds up whoever writes it.
    let mut listening = JoinSet::new();
    listening.spawn(last_line(stderr));
    let asked = async {
        match ask_child(stdin, stdout).await {
            Ok(Some(greeting)) => Ok(greeting),
            Err(said) => Err(NoGreeting::Chatter { said }),
            Ok(None) => Err(NoGreeting::Ended {
                said: listening
                    .join_next()
                    .await
                    .and_then(Result::ok)
                    .unwrap_or_default(),
            }),
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    child.end().await;
    asked.map_err(|_| NoGreeting::Silent)?
}

/// The last that a program says on standard error before it ends.
async fn last_line(stderr: ChildStderr) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            last = line.chars().take(LONGEST_SHOWN).collect();
        }
    }
    last
}

/// What a program answers; nothing if it ends without, and what it says in the place of it.
async fn ask_child(mut stdin: ChildStdin, stdout: ChildStdout) -> Result<Option<Greeting>, String> {
    let opening = [INITIALIZE, b"\n"].concat();
    // A program that reads nothing is seen by what it says.
    let _ = stdin.write_all(&opening).await;
    let mut lines = BufReader::new(stdout.take(MOST_READ as u64)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let greeting = Greeting {
            status: StatusCode::OK,
            message: serde_json::from_str(&line).ok(),
        };
        if greeting.is_mcp() {
            return Ok(Some(greeting));
        }
        // What it says of itself before it answers is a message, too.
        let is_message = greeting
            .message
            .is_some_and(|message| message.get("method").is_some());
        if !is_message || line == str::from_utf8(INITIALIZE).unwrap_or_default() {
            return Err(line.chars().take(LONGEST_SHOWN).collect());
        }
    }
    Ok(None)
}

async fn ask(
    connections: &Connections,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Greeting, ForwardError> {
    let opening = request((Method::POST, uri, headers), Bytes::from_static(INITIALIZE));
    let (answer, _seat) = connections
        .request(opening)
        .await
        .map_err(ForwardError::of_client)?;
    let (head, body) = answer.into_parts();
    let message = first_message(body, &head.headers).await;
    if let Some(session) = head.headers.get(MCP_SESSION_ID) {
        let mut end = request((Method::DELETE, uri, headers), Bytes::new());
        end.headers_mut().insert(MCP_SESSION_ID, session.clone());
        // A server need not let clients end sessions: this one is then left to its own time.
        let _ = tokio::time::timeout(COURTESY, connections.request(end)).await;
    }
    Ok(Greeting {
        status: head.status,
        message,
    })
}

fn request((method, uri, headers): (Method, &Uri, &HeaderMap), content: Bytes) -> Request<Lent> {
    let limit = content.len() as u64;
    let content = RequestContent::new(Body::from(content), limit);
    let mut request = Request::new(Lender::new(content).lend());
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    request.headers_mut().clone_from(headers);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accepted = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(ACCEPT, accepted);
    request
}

/// The first message of an answer that may be a stream without end.
async fn first_message(mut body: Incoming, headers: &HeaderMap) -> Option<Value> {
    let is_stream = is_event_stream(headers);
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        let message = message_in(&read, is_stream);
        if message.is_some() || read.len() > MOST_READ {
            return message;
        }
    }
    None
}

fn message_in(read: &[u8], is_stream: bool) -> Option<Value> {
    if !is_stream {
        return serde_json::from_slice(read).ok();
    }
    let text = str::from_utf8(read).ok()?;
    let mut data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.find_map(|data| serde_json::from_str(data).ok())
}

const INITIALIZE: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"entrada doctor","version":"1"}}}"#;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long it may take to end a session, which nothing depends on.
const COURTESY: Duration = Duration::from_secs(2);

/// How much is shown of what a program says.
const LONGEST_SHOWN: usize = 200;

/// How much of an answer is read.
const MOST_READ: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_found_as_it_comes() {
        for (read, is_stream, found) in [
            (r#"{"id":1}"#, false, true),
            (r#"{"id""#, false, false),
            ("<html>", false, false),
            ("event: message\r\ndata: {\"id\":1}\r\n", true, true),
            ("data:\n\ndata: {\"id\":1}", true, true),
            ("data: {\"id\"", true, false),
            (": {\"id\":1}\n", true, false),
            (r#"{"id":1}"#, true, false),
        ] {
            let message = message_in(read.as_bytes(), is_stream);
            assert_eq!(message.is_some_and(|it| it["id"] == 1), found, "{read}");
        }
        assert_eq!(message_in(b"data: \xff{}\n", true), None);
    }

    #[test]
    fn whoever_says_no_in_json_rpc_speaks_mcp() {
        let greeting = |message: &str| Greeting {
            status: StatusCode::BAD_REQUEST,
            message: serde_json::from_str(message).ok(),
        };
        let named = greeting(r#"{"jsonrpc":"2.0","result":{"serverInfo":{"name":"weather"}}}"#);
        assert_eq!((named.is_mcp(), named.name()), (true, Some("weather")));
        let no = greeting(r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"nope"}}"#);
        assert_eq!((no.is_mcp(), no.name()), (true, None));
        assert_eq!(no.refusal(), Some("nope"));
        let echo = str::from_utf8(INITIALIZE).unwrap();
        for other in [r#"{"detail":"Not Found"}"#, "[]", "1", "", echo] {
            assert!(!greeting(other).is_mcp(), "{other}");
        }
    }
}
