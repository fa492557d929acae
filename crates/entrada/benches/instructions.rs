//! Does one thing a number of times, for a tool that counts instructions: see
//! `bench/instructions.sh`.

use std::hint::black_box;
use std::sync::Arc;

use entrada::jwt::jwks::Algorithm;
use entrada::store::MemoryStore;

#[path = "server/in_process.rs"]
mod in_process;

use in_process::{NoOp, Server, Tokens, call, mcp_request, refreshing};

fn main() {
    let mut asked = Asked::default();
    // Among them may be what cargo adds.
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(times) => asked.times = times,
            Err(_) => asked.what = What::named(&argument).unwrap_or(asked.what),
        }
    }
    let server = Server::new(Arc::new(MemoryStore::new()), Algorithm::Es256);
    match asked.what {
        What::RememberedToken => remembered_token(&server, &asked),
        What::NewToken => new_token(&server, &asked),
        What::Code => asked.run(|| server.redemption(), |request| server.answer(request)),
        What::Refresh => {
            let request = || refreshing(&server.tokens().refresh_token);
            asked.run(request, |request| server.answer(request));
        }
    }
}

/// What to do, and how often.
#[derive(Default)]
struct Asked {
    what: What,
    times: usize,
}

#[derive(Clone, Copy, Default)]
enum What {
    #[default]
    RememberedToken,
    NewToken,
    Code,
    Refresh,
}

impl What {
    fn named(name: &str) -> Option<Self> {
        match name {
            "remembered-token" => Some(Self::RememberedToken),
            "new-token" => Some(Self::NewToken),
            "code" => Some(Self::Code),
            "refresh" => Some(Self::Refresh),
            _ => None,
        }
    }
}

impl Asked {
    fn run<T, U>(&self, prepare: impl FnMut() -> T, mut work: impl FnMut(T) -> U) {
        let inputs = std::iter::repeat_with(prepare).take(self.times);
        let mut inputs = inputs.collect::<Vec<_>>().into_iter();
        counted(&mut || {
            for input in inputs.by_ref() {
                black_box(work(input));
            }
        });
    }
}

/// The tool counts what happens in here, and nothing else.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

fn remembered_token(server: &Server, asked: &Asked) {
    let token = server.tokens().access_token;
    let mut service = server.guarded(NoOp);
    call(&mut service, mcp_request(&token));
    asked.run(
        || mcp_request(&token),
        |request| call(&mut service, request),
    );
}

fn new_token(server: &Server, asked: &Asked) {
    let first = server.tokens().refresh_token;
    server.answer(refreshing(&first));
    let mut service = server.guarded(NoOp);
    // A refresh token that was just replaced is answered again and again.
    let request = || {
        let tokens = Tokens::read(&server.answer(refreshing(&first)));
        mcp_request(&tokens.access_token)
    };
    asked.run(request, |request| call(&mut service, request));
}
