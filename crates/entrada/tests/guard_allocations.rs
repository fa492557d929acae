//! On the common path the guard allocates what the identity in the extensions needs, and nothing.

use allocation_counter::measure;

#[path = "../benches/guard/remembered.rs"]
mod remembered;

#[test]
fn a_remembered_token_costs_the_extension_and_nothing_else() {
    let token = remembered::token();
    let mut bare = remembered::request();
    let extension = measure(|| {
        bare.extensions_mut().insert(token.clone());
    });
    assert!(extension.count_total > 0);

    let mut service = remembered::guarded();
    let request = remembered::request();
    let guarded = measure(|| remembered::call(&mut service, request));
    assert_eq!(guarded.count_total, extension.count_total);
    assert_eq!(guarded.bytes_total, extension.bytes_total);
}
