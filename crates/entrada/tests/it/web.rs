//! The public web, where anybody publishes what they like.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use entrada::platform::{HttpTransport, NotPublic, TransportError};
use http::{Request, Response, StatusCode};
use serde_json::Value;

/// What is published, and what was asked for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Web {
    pages: Arc<Mutex<HashMap<String, Response<Bytes>>>>,
    asked: Arc<Mutex<Vec<Request<Bytes>>>>,
    hanging: Arc<Mutex<HashSet<String>>>,
    hidden: Arc<Mutex<HashSet<String>>>,
}

impl Web {
    /// Publishes `document` at `url`.
    pub(crate) fn publish(&self, url: &str, document: &Value) {
        self.answer(url, Response::new(document.to_string().into()));
    }

    /// Answers whoever asks for `url` so.
    pub(crate) fn answer(&self, url: &str, response: Response<Bytes>) {
        self.pages.lock().unwrap().insert(url.to_owned(), response);
    }

    /// Answers with nothing but a status.
    pub(crate) fn fail(&self, url: &str, status: u16) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        self.answer(url, response);
    }

    /// Never answers whoever asks for `url`.
    pub(crate) fn hang(&self, url: &str) {
        self.hanging.lock().unwrap().insert(url.to_owned());
    }

    /// Puts `url` at an address that is not public: it is not asked.
    pub(crate) fn hide(&self, url: &str) {
        self.hidden.lock().unwrap().insert(url.to_owned());
    }

    /// Takes away whatever is at `url`: nobody answers there any more.
    pub(crate) fn unplug(&self, url: &str) {
        self.pages.lock().unwrap().remove(url);
    }

    /// How often anything was asked for.
    pub(crate) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The last that was asked for.
    pub(crate) fn last(&self) -> Request<Bytes> {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

#[async_trait]
impl HttpTransport for Web {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        // A network takes its time: whoever else is at work goes on meanwhile.
        tokio::task::yield_now().await;
        let page = request.uri().to_string();
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push(request);
        if self.hanging.lock().unwrap().contains(&page) {
            std::future::pending::<()>().await;
        }
        if self.hidden.lock().unwrap().contains(&page) {
            return Err(TransportError::new(host, NotPublic::Address));
        }
        let page = self.pages.lock().unwrap().get(&page).cloned();
        page.ok_or_else(|| TransportError::new(host, "nobody answers"))
    }
}
