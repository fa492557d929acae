//! The `entrada` program.
fn main() {}
