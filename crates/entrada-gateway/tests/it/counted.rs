//! What is counted, by the program itself, and who is turned away there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use entra_emulator::{Emulator, Listen, Options, Running as RunningEmulator, builtin};
use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{Running, entrada, get};

use crate::observed::lines;

/// The program, before a pretend Entra.
pub(crate) struct Serving {
    pub(crate) program: Running,
    pub(crate) public: String,
    metrics: String,
    _entra: RunningEmulator,
    _folder: tempfile::TempDir,
}

impl Serving {
    pub(crate) async fn with(more: &[&str]) -> Self {
        let entra = Emulator::new(Options::default());
        let entra = entra.serve(Listen::http()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let arguments = [
            "serve",
            "--listen=127.0.0.1:0",
            "--metrics-listen=127.0.0.1:0",
            "--upstream=http://127.0.0.1:1/mcp",
            "--base-url=http://127.0.0.1:8000",
            "--required-scopes=mcp.read",
            "--log-format=json",
            "--insecure-http-authority",
            &format!("--client-id={}", builtin::CLIENT_ID),
            &format!("--tenant-id={}", builtin::TENANT_ID),
            &format!("--authority-host={}", entra.authority_host()),
            &format!("--data-dir={}", folder.path().display()),
        ];
        let mut command = entrada(&[&arguments, more].concat());
        command.env("ENTRADA_CLIENT_SECRET", builtin::CLIENT_SECRET);
        let mut program = Running(command.stdout(Stdio::null()).spawn().unwrap());
        let lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
        let found = tokio::task::spawn_blocking(move || {
            let mut lines =
                lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
            let mut listens = |what: &str| {
                let is_it = |line: &Value| line.get("message").is_some_and(|said| said == what);
                let line = lines.find(is_it).unwrap();
                let address = line.get("listen").and_then(Value::as_str);
                format!("http://{}", address.unwrap())
            };
            let found = (listens("listening"), listens("metrics"));
            // Nothing reads the rest: the program must not stop for that.
            std::thread::spawn(move || lines.for_each(drop));
            found
        });
        let (public, metrics) = found.await.unwrap();
        Self {
            program,
            public,
            metrics,
            _entra: entra,
            _folder: folder,
        }
    }

    async fn scrape(&self) -> String {
        let (status, headers, body) = get(&format!("{}/metrics", self.metrics)).await;
        assert_eq!(status, StatusCode::OK);
        let content_type = headers.get("content-type").unwrap().to_str().unwrap();
        assert!(content_type.starts_with("text/plain; version=0.0.4"));
        String::from_utf8(body).unwrap()
    }
}

/// The series there are, by name and labels, each with its value.
fn series(text: &str) -> BTreeMap<&str, &str> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

#[tokio::test]
async fn what_is_counted_is_told_on_its_own_port_alone() {
    let serving = Serving::with(&[]).await;
    let public = &serving.public;
    assert_eq!(
        get(&format!("{public}/metrics")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(&format!("{public}/mcp")).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        get(&format!("{}/mcp", serving.metrics)).await.0,
        StatusCode::NOT_FOUND
    );
    // Where there may be no certificate yet, nobody could ask on the other.
    for probe in ["healthz", "readyz"] {
        let answer = get(&format!("{}/{probe}", serving.metrics)).await;
        assert_eq!(answer.0, StatusCode::OK, "{probe}");
    }
    let text = serving.scrape().await;
    let series = series(&text);
    let refused =
        r#"entrada_http_requests_total{route="/mcp",method="GET",status="4xx",outcome="refused"}"#;
    assert_eq!(series.get(refused), Some(&"1"), "{text}");
    let guard = r#"entrada_guard_refusals_total{reason="no_credentials"}"#;
    assert_eq!(series.get(guard), Some(&"1"), "{text}");
    assert!(series.contains_key(&*format!(
        "entrada_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    )));
    let memory: f64 = series["process_resident_memory_bytes"].parse().unwrap();
    assert!(memory > 1e6);
    assert!(serving.program.stop().success());
}

#[tokio::test]
async fn connections_that_are_one_too_many_are_counted() {
    for (limit, by) in [
        ("--max-connections-per-address=1", "address"),
        ("--max-connections=1", "all"),
    ] {
        let serving = Serving::with(&[limit]).await;
        let address = serving.public.strip_prefix("http://").unwrap();
        let _held = TcpStream::connect(address).await.unwrap();
        let mut refused = TcpStream::connect(address).await.unwrap();
        // One that is served is not closed before it has been silent for a minute.
        let closed = async { refused.read_to_end(&mut Vec::new()).await };
        let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
        closed.expect(limit).unwrap();
        let text = serving.scrape().await;
        let found = series(&text);
        let by = format!("entrada_http_connections_refused_total{{by=\"{by}\"}}");
        assert_eq!(found.get(&*by), Some(&"1"), "{text}");
    }
}

#[tokio::test]
async fn strangers_make_no_series() {
    let serving = Serving::with(&[]).await;
    let public = serving.public.strip_prefix("http://").unwrap().to_owned();
    let made_up = |number: u32| {
        let public = public.clone();
        async move {
            let mut stream = TcpStream::connect(&public).await.unwrap();
            let requests = [
                format!("X{number} /mcp HTTP/1.1\r\nhost: h\r\n\r\n"),
                format!("GET /path{number} HTTP/1.1\r\nhost: h{number}\r\n\r\n"),
                format!(
                    "GET /mcp HTTP/1.1\r\nhost: h\r\nauthorization: Bearer t{number}\r\nconnection: close\r\n\r\n"
                ),
            ];
            stream
                .write_all(requests.concat().as_bytes())
                .await
                .unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        }
    };
    made_up(0).await;
    let first = series(&serving.scrape().await).len();
    for number in 1..20 {
        made_up(number).await;
    }
    let text = serving.scrape().await;
    assert_eq!(series(&text).len(), first, "{text}");
}

#[tokio::test]
async fn who_is_turned_away_is_in_the_audit_log_without_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let place = format!("--audit-log=file:{}", path.display());
    let serving = Serving::with(&[&place]).await;
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYWxsb3J5In0.c2lnbmF0dXJl";
    let address = serving.public.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    // A visit without a token is no decision.
    get(&format!("{}/mcp", serving.public)).await;
    assert!(serving.program.stop().success());
    let told = lines(&path);
    assert_eq!(told.len(), 1, "{told:?}");
    let line = &told[0];
    assert_eq!(
        (&line["event"], &line["decision"]),
        (&"request".into(), &"denied".into())
    );
    assert_eq!(
        (&line["code"], &line["route"]),
        (&"token".into(), &"/mcp".into())
    );
    assert_eq!(line["address"], "127.0.0.1");
    let text = std::fs::read_to_string(&path).unwrap();
    for part in token.split('.') {
        assert!(!text.contains(part), "{text}");
    }
}

#[test]
fn metrics_are_not_put_where_everybody_asks() {
    for (public, own) in [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("0.0.0.0:8000", "127.0.0.1:8000"),
        ("127.0.0.1:8000", "[::]:8000"),
    ] {
        let listen = [
            format!("--listen={public}"),
            format!("--metrics-listen={own}"),
        ];
        let output = entrada(&["serve", &listen[0], &listen[1]])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("--metrics-listen: it must not be where everybody asks"),
            "{said}"
        );
    }
}
