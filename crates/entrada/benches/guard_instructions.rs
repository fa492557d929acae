//! Sends a number of requests with a remembered token through the guard, or past it, for a tool
//! that counts instructions: see `bench/README.md`.

use std::hint::black_box;

#[path = "guard/remembered.rs"]
mod remembered;

fn main() {
    let mut requests = 1;
    let mut past_the_guard = false;
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => requests = number,
            Err(_) => past_the_guard |= argument == "--past-the-guard",
        }
    }
    let token = remembered::token();
    let mut service = remembered::guarded();
    for _ in 0..requests {
        let mut request = remembered::request();
        if past_the_guard {
            request.extensions_mut().insert(token.clone());
            black_box(request);
        } else {
            remembered::call(&mut service, request);
        }
    }
}
