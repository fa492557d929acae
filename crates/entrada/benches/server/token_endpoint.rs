//! What the token endpoint costs, from the request to the answer; what Entra costs is left out.

use divan::{Bencher, black_box};
use entrada::jwt::jwks::Algorithm;

use super::in_process::{Server, refreshing};
use super::{ALGORITHMS, embedded, memory};

fn code(bencher: Bencher<'_, '_>, server: &Server) {
    bencher
        .with_inputs(|| server.redemption())
        .bench_local_values(|request| server.answer(black_box(request)));
}

fn refresh(bencher: Bencher<'_, '_>, server: &Server) {
    bencher
        .with_inputs(|| refreshing(&server.tokens().refresh_token))
        .bench_local_values(|request| server.answer(black_box(request)));
}

#[divan::bench(args = ALGORITHMS)]
fn memory_code(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    code(bencher, &memory(algorithm));
}

#[divan::bench(args = ALGORITHMS)]
fn memory_refresh(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    refresh(bencher, &memory(algorithm));
}

#[divan::bench]
fn embedded_code(bencher: Bencher<'_, '_>) {
    let (server, _folder) = embedded(Algorithm::Es256);
    code(bencher, &server);
}

#[divan::bench]
fn embedded_refresh(bencher: Bencher<'_, '_>) {
    let (server, _folder) = embedded(Algorithm::Es256);
    refresh(bencher, &server);
}
