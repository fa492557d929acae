//! Who may call what, and how often.

use crate::config::table::{OfRoute, Setting, setting};

const POLICY: &str = "Who may call what";
const LIMITS: &str = "How many may call";

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        POLICY,
        "without_rule",
        "MODE",
        "What becomes of tools, prompts, resources and unknown methods that no [[rule]] of the \
         configuration file names, once there is a rule: deny or allow",
    )
    .or("deny")
    .of_route(OfRoute::Inherited),
    setting(
        POLICY,
        "filter_lists",
        "MODE",
        "true: lists show each caller what it may call; reachable: and what it may call once it has \
         asked for more scopes; false: all there is",
    )
    .or("false")
    .of_route(OfRoute::Inherited),
    setting(
        POLICY,
        "policy_file",
        "FILE",
        "A file of Cedar policies that must allow each call, too [feature: cedar]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "rate_limit_user",
        "RATE",
        "How often one user, or one application, may ask at a server, such as 100/1m, or none; each \
         replica counts for itself [default: none]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "rate_limit_client",
        "RATE",
        "How often one client may, with all of its users [default: none]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "rate_limit_tool",
        "RATE",
        "How often one user may call one tool [default: none]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "max_concurrent_requests_per_user",
        "NUMBER",
        "How many requests of one user, or one application, may be under way at a server, open streams \
         among them, or none; each replica counts for itself",
    )
    .or("256")
    .of_route(OfRoute::Inherited),
];
