//! The emulator itself: options in, router out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State as RouterState};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::authorize::tenant::TenantSpecifier;
use crate::builtin;
use crate::cloud::Cloud;
use crate::control::Control;
use crate::directory::Directory;
use crate::error::{Aadsts, RequestIds};
use crate::place::Place;
use crate::quirks::Quirks;
use crate::server::{Listen, Listener, Running, ServeError, serve};
use crate::state::State;
use crate::{
    authorize, b2c, control, device, discovery, graph, managed_identity, token, workload_issuer,
};

/// Tells the time, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How an emulator is to be.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "options are written as a struct literal with `..Default::default()`"
)]
pub struct Options {
    /// The tenants, users and applications.
    pub directory: Directory,
    /// The clock; [`Control::advance`] moves it further.
    pub clock: Clock,
    /// Where the emulator says it is, without a trailing slash in effect.
    ///
    /// When `None` it is where the request came in. In-process, it is the login host of a cloud
    /// that the request names, and [`builtin::BASE_URL`] when it names none.
    pub base_url: Option<Url>,
    /// Where Microsoft Graph says it is; `{base_url}/graph` when `None`.
    pub graph_url: Option<Url>,
    /// Which cloud to be, where the host a request was meant for does not tell.
    pub cloud: Cloud,
    /// What decides the token lifetimes, which vary as Entra's do.
    pub seed: u64,
    /// Which Entra to pretend to be.
    pub quirks: Quirks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: Directory::default(),
            clock: Arc::new(system_clock),
            base_url: None,
            graph_url: None,
            cloud: Cloud::default(),
            seed: 0,
            quirks: Quirks::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("base_url", &self.base_url)
            .field("graph_url", &self.graph_url)
            .field("cloud", &self.cloud)
            .field("seed", &self.seed)
            .field("quirks", &self.quirks)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the default clock is the system's; tests give their own"
)]
fn system_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A pretend Microsoft Entra ID. Clones share everything.
#[derive(Debug, Clone)]
pub struct Emulator {
    shared: Arc<Shared>,
}

/// The end of the year 9999: no clock goes further, so that sums of times cannot overflow.
const END_OF_TIME: u64 = 253_402_300_799;

/// What every handler holds.
pub(crate) struct Shared {
    pub(crate) options: Options,
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.options).finish()
    }
}

impl Emulator {
    /// Makes an emulator. It opens no sockets.
    pub fn new(options: Options) -> Self {
        let state = Mutex::new(State::new(options.directory.clone(), options.seed));
        Self {
            shared: Arc::new(Shared { options, state }),
        }
    }

    /// The whole emulator as a router, to be driven in-process or mounted at a host's root.
    pub fn router(&self) -> Router {
        let routes = Router::new()
            .merge(discovery::router())
            .merge(authorize::router())
            .merge(token::router())
            .merge(device::router())
            .merge(graph::router())
            .merge(b2c::router())
            .merge(workload_issuer::router())
            .merge(managed_identity::router())
            .merge(control::http::router())
            .layer(from_fn_with_state(Arc::clone(&self.shared), describe_call))
            .with_state(Arc::clone(&self.shared));
        // Before routing, for it changes the path.
        let shared = Arc::clone(&self.shared);
        Router::new()
            .fallback_service(routes)
            .layer(from_fn_with_state(shared, b2c::name_policy))
    }

    /// Listens, with tasks that end when the answer is dropped or shut down.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when an address cannot be bound or no certificate can be made.
    pub async fn serve(&self, listen: Listen) -> Result<Running, ServeError> {
        serve(self.router(), listen).await
    }

    /// What makes the emulator misbehave, and tells what it saw.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> u64 {
        let now = (self.options.clock)().saturating_add(self.state().clock_offset);
        now.min(END_OF_TIME)
    }

    pub(crate) fn graph_url(&self, base: &str) -> String {
        match &self.options.graph_url {
            Some(url) => trimmed(url),
            None => format!("{base}/graph"),
        }
    }

    /// Where the emulator is at `base`, or where nobody asked.
    pub(crate) fn place_at(&self, base: Option<&str>) -> Place {
        match base {
            Some(base) => Place::at_url(base, self.options.cloud, &self.state().directory),
            None => self.place(None, ""),
        }
    }

    // At a tenant's own host there is that tenant, and nothing but that tenant.
    fn misplaced(&self, place: &Place, path: &str) -> Option<Aadsts> {
        let owner = place.owner.as_ref()?;
        let segment = path.split('/').nth(1)?;
        match TenantSpecifier::parse(segment, &self.state().directory) {
            Ok(TenantSpecifier::Tenant(id)) if id == *owner => None,
            Ok(_) => Some(Aadsts::TenantNotFound(segment.to_owned())),
            // No tenant at all, or one the endpoint will complain about.
            Err(_) => None,
        }
    }

    // In-process nothing but the host tells where a request was meant to go.
    fn place(&self, listener: Option<&Listener>, asked: &str) -> Place {
        let base = match (&self.options.base_url, listener) {
            (Some(url), _) => trimmed(url),
            (None, Some(listener)) => listener.base(asked),
            (None, None) => match Place::well_known(asked, &self.state().directory) {
                Some(place) => return place,
                None => builtin::BASE_URL.to_owned(),
            },
        };
        Place::new(base, self.options.cloud)
    }
}

fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// What is known of a request before anything of it is read.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) place: Place,
    pub(crate) ids: RequestIds,
    pub(crate) now: u64,
}

// In the request line since HTTP/2, in a header before.
fn authority(request: &Request) -> String {
    let header = request.headers().get(HOST);
    let line = request.uri().authority();
    let asked = line
        .map(Authority::as_str)
        .or_else(|| header.and_then(|value| value.to_str().ok()));
    asked.unwrap_or_default().to_owned()
}

async fn describe_call(
    RouterState(shared): RouterState<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let client_request_id = headers
        .get("client-request-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let call = Call {
        place: shared.place(request.extensions().get::<Listener>(), &authority(&request)),
        ids: RequestIds::new(client_request_id.as_deref()),
        now: shared.now(),
    };
    if let Some(error) = shared.misplaced(&call.place, request.uri().path()) {
        return (error.status(), Json(error.body(&call))).into_response();
    }
    let echo = headers.contains_key("return-client-request-id");
    let ids = call.ids.clone();
    request.extensions_mut().insert(call);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    put(headers, "x-ms-request-id", &ids.trace);
    put(
        headers,
        "x-ms-ests-server",
        "2.1.22222.3 - EMULATOR ProdSlices",
    );
    put(headers, "x-content-type-options", "nosniff");
    if echo {
        put(headers, "client-request-id", &ids.correlation);
    }
    response
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
