//! rmcp's own client, over a real socket.

use std::io;

use axum::Router;
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::vault::Stack;

/// Serves `app` as long as `servers` are kept, and says where.
async fn serve(app: Router, servers: &mut JoinSet<io::Result<()>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/mcp")
}

async fn client(
    url: &str,
    token: &str,
    lifecycle: ClientLifecycleMode,
) -> RunningService<RoleClient, ()> {
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    let transport = StreamableHttpClientTransport::from_config(config);
    serve_client_with_lifecycle((), transport, lifecycle)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_client_sees_the_challenge_and_gets_in_with_what_it_names() {
    let stack = Stack::new(|requirements| requirements);
    let mut servers = JoinSet::new();
    let url = serve(stack.app.clone(), &mut servers).await;
    let discover = ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    };
    for lifecycle in [ClientLifecycleMode::Initialize, discover] {
        let write = || CallToolRequestParams::new("write");
        let before = client(&url, "alice", lifecycle.clone()).await;
        let tools = before.list_all_tools().await.unwrap();
        assert!(tools.iter().any(|tool| tool.name == "write"), "{tools:?}");
        let refused = before.call_tool(write()).await.unwrap_err();
        let challenge = refused.auth_challenge().unwrap();
        assert!(
            challenge.contains("scope=\"files.read files.write\""),
            "{challenge}"
        );
        assert_eq!(stack.runs(), 0);
        let after = client(&url, "alice+files.read+files.write", lifecycle).await;
        after.call_tool(write()).await.unwrap();
        assert_eq!(stack.runs(), 1);
    }
}
