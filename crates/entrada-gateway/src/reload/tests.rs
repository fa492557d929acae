use std::path::PathBuf;

use axum::body::Body;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::*;
use crate::server::Server;
use crate::upstream::McpServer;

/// A gateway that goes by a file, without a socket.
struct Stage {
    folder: tempfile::TempDir,
    live: Live,
    reloading: Reloading,
}

const ROUTE: &str = "[[route]]\npath = '/search'\nupstream = 'http://127.0.0.1:3001/mcp'\n";

impl Stage {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "secret", "hunter2");
        write(&folder, "entrada.toml", &content(&folder, more));
        let file = folder.path().join("entrada.toml");
        let flags = Flags::naming(file.to_str());
        let read = (flags, Environment::default());
        let settings = Settings::read(&read.0, &read.1).unwrap();
        let provider = settings.provider.provider().unwrap();
        let in_use = InUse {
            routes: Routes::new(&provider, &settings.upstreams).unwrap(),
            provider,
            audit: None,
            numbers: None,
            prints: settings.prints,
            key_rotation: None,
        };
        let live = Live::new(in_use.router(None), Duration::from_secs(1));
        let reloading = Reloading::new(read, in_use, (live.clone(), None), None);
        Self {
            folder,
            live,
            reloading,
        }
    }

    /// Writes the file, and lets the gateway look until it is settled; why it was not taken, if it was not.
    async fn reads(&mut self, content: &str) -> Option<&[String]> {
        write(&self.folder, "entrada.toml", content);
        self.reloading.look(false).await;
        self.reloading.look(false).await;
        self.reloading.refused.as_deref()
    }

    fn content(&self, more: &str) -> String {
        content(&self.folder, more)
    }

    /// Whether there is a server at `path`.
    async fn serves(&self, path: &str) -> bool {
        let metadata = format!("/.well-known/oauth-protected-resource{path}");
        let request = Request::get(metadata).body(Body::empty()).unwrap();
        let (router, _on_its_way) = self.live.now();
        router.oneshot(request).await.unwrap().status() == StatusCode::OK
    }

    fn routes(&self) -> Routes {
        self.reloading.in_use.borrow().routes.clone()
    }
}

fn write(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn content(folder: &tempfile::TempDir, more: &str) -> String {
    let folder = folder.path().display();
    format!(
        "upstream = 'http://127.0.0.1:3000/mcp'\n\
         base_url = 'https://mcp.example.com'\n\
         tenant_id = 'contoso.onmicrosoft.com'\n\
         client_id = '00000000-0000-0000-0000-000000000000'\n\
         client_secret_file = '{folder}/secret'\n\
         required_scopes = ['mcp.access']\n\
         data_dir = '{folder}'\n\
         {more}"
    )
}

#[tokio::test]
async fn a_route_comes_and_goes_while_the_gateway_runs() {
    let mut stage = Stage::new("");
    assert!(!stage.serves("/search").await);
    let more = stage.content(ROUTE);
    assert_eq!(stage.reads(&more).await, None);
    assert!(stage.serves("/search").await);
    assert!(stage.serves("/mcp").await);
    let less = stage.content("");
    assert_eq!(stage.reads(&less).await, None);
    assert!(!stage.serves("/search").await);
}

#[tokio::test]
async fn settings_that_are_the_same_replace_nothing() {
    let mut stage = Stage::new(ROUTE);
    let mut in_use = stage.reloading.in_use();
    in_use.mark_unchanged();
    let same = format!("# Another line\n\n{}", stage.content(ROUTE));
    assert_eq!(stage.reads(&same).await, None);
    assert!(!in_use.has_changed().unwrap());
    write(&stage.folder, "secret", "hunter3");
    assert_eq!(stage.reads(&same).await, None);
    assert!(in_use.has_changed().unwrap(), "the secret was rolled");
}

#[tokio::test]
async fn what_cannot_be_used_is_told_whole_and_once_and_all_stays() {
    let mut stage = Stage::new(ROUTE);
    let mut in_use = stage.reloading.in_use();
    in_use.mark_unchanged();
    let good = stage.content(ROUTE);
    let secret = format!("client_secret_file = '{}", stage.folder.path().display());
    for (bad, parts) in [
        // Half a file.
        (
            good[..good.len() - 20].to_owned(),
            &["entrada.toml:10: "][..],
        ),
        (String::new(), &["upstream", "base_url", "tenant_id"]),
        (
            good.replace("mcp.access", "mcp access\\u0000")
                .replace(
                    "required_scopes = ['mcp access\\u0000']",
                    "required_scopes = [\"a\\u0000\"]",
                )
                .replace("[[route]]", "consent = 'perhaps'\n[[route]]"),
            &["required_scopes: ", "consent: "],
        ),
        (
            good.replace(&secret, &format!("{secret}/nowhere")),
            &["client_secret_file: the file cannot be read"],
        ),
        (
            good.replace("mcp.example.com", "other.example.com")
                .replace("[[route]]", "listen = '127.0.0.1:9'\n[[route]]"),
            &["until it is started anew: base_url, listen"],
        ),
    ] {
        let told = stage.reads(&bad).await.unwrap().to_vec();
        assert!(stage.reloading.is_told(&told));
        assert!(
            !stage.reloading.is_told(&[]),
            "what is wrong now is another thing"
        );
        let told = told.join("\n");
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("hunter"), "{told}");
        assert!(!in_use.has_changed().unwrap());
        assert!(stage.serves("/search").await);
    }
    assert_eq!(stage.reads(&good).await, None);
    assert!(!in_use.has_changed().unwrap());
}

/// The servers that stay where `content` is read.
async fn gone(stage: &mut Stage, content: &str) -> usize {
    let before = stage.routes();
    assert_eq!(stage.reads(content).await, None);
    before.not_in(&stage.routes()).count()
}

#[tokio::test]
async fn a_server_that_is_reached_as_before_keeps_its_sessions_whoever_may_call_it() {
    let mut stage = Stage::new(ROUTE);
    let good = stage.content(ROUTE);
    for (content, left) in [
        (format!("{good}required_scopes = ['mcp.read']\n"), 0),
        (format!("{good}[[route.rule]]\ntools = ['*']\n"), 0),
        (
            good.replace("[[route]]", "rate_limit_user = '9/1m'\n[[route]]"),
            0,
        ),
        // Inherited by both.
        (
            good.replace("[[route]]", "upstream_timeout = '9s'\n[[route]]"),
            2,
        ),
        (good.clone(), 2),
        (good.replace(":3001", ":3002"), 1),
        (
            good.replace("/search", "/find").replace(":3001", ":3002"),
            1,
        ),
        (stage.content(""), 1),
    ] {
        assert_eq!(gone(&mut stage, &content).await, left, "{content}");
    }
}

#[tokio::test(start_paused = true)]
#[cfg(unix)]
async fn a_child_ends_once_what_was_on_its_way_to_it_is_over() {
    let child = "[[route]]\npath = '/child'\ncommand = '/bin/cat'\n";
    let mut stage = Stage::new(child);
    let is_child = |server: &&McpServer| matches!(server, McpServer::Stdio(_));
    let (_router, on_its_way) = stage.live.now();
    let before = stage.routes();
    let without = stage.content("");
    assert_eq!(stage.reads(&without).await, None);
    assert_eq!(before.not_in(&stage.routes()).filter(is_child).count(), 1);
    tokio::task::yield_now().await;
    assert!(stage.reloading.leaving.try_join_next().is_none());
    drop(on_its_way);
    stage.reloading.leaving.join_next().await.unwrap().unwrap();
    // Or once the gateway itself has no more time.
    let (_router, _on_its_way) = stage.live.now();
    let with = stage.content(child);
    assert_eq!(stage.reads(&with).await, None);
    assert_eq!(stage.reads(&without).await, None);
    stage.reloading.close().await;
}

#[tokio::test]
async fn half_a_configuration_that_reads_as_a_whole_opens_nothing() {
    let rule = "[[route.rule]]\ntools = ['search']\nroles = ['Searcher']\n";
    let whole = format!("{ROUTE}{rule}");
    let mut stage = Stage::new(&whole);
    let mut in_use = stage.reloading.in_use();
    in_use.mark_unchanged();
    // As far as it has come when the gateway looks.
    let half = stage.content(ROUTE);
    write(&stage.folder, "entrada.toml", &half);
    stage.reloading.look(false).await;
    assert!(!in_use.has_changed().unwrap());
    let more = stage.content(&whole.replace("'Searcher'", "'Searcher', 'Finder'"));
    write(&stage.folder, "entrada.toml", &more);
    stage.reloading.look(false).await;
    assert!(!in_use.has_changed().unwrap());
    stage.reloading.look(false).await;
    assert!(in_use.has_changed().unwrap());
    // Who asks says that it is whole.
    in_use.mark_unchanged();
    write(&stage.folder, "entrada.toml", &half);
    stage.reloading.look(true).await;
    assert!(in_use.has_changed().unwrap());
}

/// What is answered on a connection: nothing, where it is closed at once.
async fn answered(connection: &mut TcpStream) -> Vec<u8> {
    // It may be closed already.
    let request = b"GET /healthz HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n";
    let _ = connection.write_all(request).await;
    let mut answer = vec![0; 256];
    let length = connection.read(&mut answer).await.unwrap_or(0);
    answer.truncate(length);
    answer
}

#[tokio::test]
async fn limits_of_connections_hold_for_those_that_come_once_they_are_taken_over() {
    let mut stage = Stage::new("");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    let server = Server::live(listener, stage.live.clone());
    serving.spawn(server.run(CancellationToken::new()));
    let mut held = vec![];
    for (limits, more) in [
        ("", 2),
        ("max_connections = 3", 1),
        ("max_connections_per_address = 2", 2),
        ("max_connections = 6\nmax_connections_per_address = 9", 1),
    ] {
        let content = stage.content(limits);
        assert_eq!(stage.reads(&content).await, None);
        for _ in 0..more {
            let mut connection = TcpStream::connect(address).await.unwrap();
            assert!(!answered(&mut connection).await.is_empty(), "{limits}");
            held.push(connection);
        }
        if limits.is_empty() {
            continue;
        }
        let mut one_more = TcpStream::connect(address).await.unwrap();
        assert!(answered(&mut one_more).await.is_empty(), "{limits}");
    }
    // Whoever was let in stays.
    for connection in &mut held {
        assert!(!answered(connection).await.is_empty());
    }
}

#[tokio::test]
async fn operators_are_led_to_their_pages() {
    let site = for_operators(Router::new().route("/admin", get(async || "pages")));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let answer = site.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/admin");
}
