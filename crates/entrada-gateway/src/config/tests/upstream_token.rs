//! The settings of the token that the MCP server gets.

use super::*;

#[test]
fn the_upstream_gets_a_token_where_its_scope_is_known() {
    let graph = "https://graph.microsoft.com/User.Read";
    let scope = ("ENTRADA_UPSTREAM_SCOPE", graph);
    let header = ("ENTRADA_UPSTREAM_TOKEN_HEADER", "X-Graph-Token");
    let settings = read(&[], &least_and(&[])).unwrap();
    assert_eq!(settings.upstreams[0].exchange, None);
    let exchange = Exchange::new(graph).unwrap();
    let settings = read(&[], &least_and(&[scope])).unwrap();
    assert_eq!(settings.upstreams[0].exchange, Some(exchange.clone()));
    // What every request needs is asked for at the first login.
    assert_eq!(settings.provider.additional_scopes, [graph]);
    let settings = read(&[], &least_and(&[scope, header])).unwrap();
    let named = exchange.header("x-graph-token".parse().unwrap());
    assert_eq!(settings.upstreams[0].exchange, Some(named));
    let default = ("ENTRADA_UPSTREAM_SCOPE", "api://orders/.default");
    let settings = read(&[], &least_and(&[default])).unwrap();
    assert!(settings.provider.additional_scopes.is_empty());
}

#[test]
fn a_token_nobody_could_send_is_a_problem() {
    let scope = ("ENTRADA_UPSTREAM_SCOPE", "api://orders/read");
    for (variables, expected) in [
        (
            vec![("ENTRADA_UPSTREAM_SCOPE", "User.Read")],
            "ENTRADA_UPSTREAM_SCOPE: write the scope with its api, such as \
             https://graph.microsoft.com/Mail.Read",
        ),
        (
            vec![("ENTRADA_UPSTREAM_SCOPE", "api://a/x api://b/x")],
            "ENTRADA_UPSTREAM_SCOPE: a token is for one api: ask for one token each",
        ),
        (
            vec![scope, ("ENTRADA_UPSTREAM_TOKEN_HEADER", "Cookie")],
            "ENTRADA_UPSTREAM_TOKEN_HEADER: that header means something else: choose another",
        ),
        (
            vec![("ENTRADA_UPSTREAM_TOKEN_HEADER", "X-Token")],
            "ENTRADA_UPSTREAM_TOKEN_HEADER: means nothing without upstream_scope",
        ),
    ] {
        assert_eq!(problems(&[], &least_and(&variables)), [expected]);
    }
}
