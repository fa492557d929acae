//! On the common path the guard allocates what the identity in the extensions needs, and nothing.

use allocation_counter::measure;
use metrics_exporter_prometheus::PrometheusBuilder;

#[path = "../benches/guard/remembered.rs"]
mod remembered;

fn assert_costs_the_extension_alone() {
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

#[test]
fn a_remembered_token_costs_the_extension_and_nothing_else() {
    assert_costs_the_extension_alone();
}

#[test]
fn nor_does_it_cost_more_where_it_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, assert_costs_the_extension_alone);
    let text = recorder.handle().render();
    assert!(
        text.contains(r#"entrada_guard_admitted_total{verdict="recalled"} 1"#),
        "{text}"
    );
}
