//! Which MCP server is behind which protected resource.

use entrada::AzureProvider;
use url::Url;

use crate::config::UpstreamSettings;
use crate::upstream::{McpServer, UpstreamError};

/// The MCP servers, each behind the guard of a resource of its own.
#[derive(Clone, Debug)]
pub struct Routes(Vec<Route>);

#[derive(Clone, Debug)]
struct Route {
    resource: String,
    server: McpServer,
}

impl Routes {
    /// Prepares the way to each of `servers`, which stand behind the resources of `provider` in the same
    /// order; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub fn new(
        provider: &AzureProvider,
        servers: &[UpstreamSettings],
    ) -> Result<Self, UpstreamError> {
        let routes = provider.resources().zip(servers);
        let routes = routes.map(|(resource, server)| {
            let mut server = server.clone();
            // Below the base URL, which may have a path itself.
            server.resource_path = path_of(resource);
            let resource = resource.to_owned();
            let server = McpServer::new(&server)?;
            Ok(Route { resource, server })
        });
        routes.collect::<Result<_, _>>().map(Self)
    }

    /// What is behind `resource`, if anything is.
    pub(crate) fn server_of(&self, resource: &str) -> Option<&McpServer> {
        let mut routes = self.0.iter();
        let route = routes.find(|route| route.resource == resource)?;
        Some(&route.server)
    }

    /// Ends what was started for the servers, all at once.
    pub async fn close(&self) {
        let closing = self.0.iter().map(|route| route.server.close());
        futures_util::future::join_all(closing).await;
    }
}

/// The path of `resource`, which is a URL.
fn path_of(resource: &str) -> String {
    let url = Url::parse(resource);
    url.map_or_else(|_| String::new(), |url| url.path().to_owned())
}
