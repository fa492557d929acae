use entra_emulator::TokenOrder;
use entra_emulator::builtin::*;
use serde_json::Value;

use crate::world::{World, peek};

fn has(claims: &Value, name: &str, facet: &str) -> bool {
    let text = claims[name].as_str().unwrap_or_default();
    text.split(' ').any(|number| number == facet)
}

#[test]
fn an_agent_acting_for_itself_is_actor_and_subject() {
    let world = World::new();
    for (resource, azp, azpacr) in [
        (CLIENT_ID, "azp", "azpacr"),
        (V1_CLIENT_ID, "appid", "appidacr"),
    ] {
        let order = TokenOrder::app_only(AGENT_CLIENT_ID, resource);
        let (_, claims) = peek(&world.control.mint(&order));
        assert_eq!(claims[azp], AGENT_CLIENT_ID);
        assert_eq!(claims[azpacr], "2");
        assert_eq!(claims["oid"], AGENT_CLIENT_ID);
        assert_eq!(claims["sub"], AGENT_CLIENT_ID);
        assert_eq!(claims["idtyp"], "app");
        assert_eq!(claims["xms_par_app_azp"], AGENT_BLUEPRINT_CLIENT_ID);
        assert!(has(&claims, "xms_act_fct", "11"));
        assert!(has(&claims, "xms_sub_fct", "11"));
        assert!(has(&claims, "xms_idrel", "7"));
        assert!(claims["xms_tnt_fct"].is_string());
        assert!(claims.get("scp").is_none());
    }
}

#[test]
fn an_agent_acting_for_somebody_is_the_actor_alone() {
    let world = World::new();
    for (user, relation, subject) in [
        (ALICE, "1", None),
        (DANA_GUEST, "5", None),
        (AGENT_USER, "1", Some("13")),
    ] {
        let order = TokenOrder::delegated(user, AGENT_CLIENT_ID, CLIENT_ID).tenant(TENANT_ID);
        let (_, claims) = peek(&world.control.mint(&order));
        assert_eq!(claims["azp"], AGENT_CLIENT_ID);
        assert_eq!(claims["azpacr"], "2");
        assert_eq!(claims["idtyp"], "user");
        assert_eq!(claims["xms_par_app_azp"], AGENT_BLUEPRINT_CLIENT_ID);
        assert!(has(&claims, "xms_act_fct", "11"), "{user}");
        assert!(has(&claims, "xms_idrel", relation), "{user}");
        assert!(!has(&claims, "xms_sub_fct", "11"), "{user}");
        match subject {
            Some(facet) => assert!(has(&claims, "xms_sub_fct", facet), "{user}"),
            None => assert!(claims.get("xms_sub_fct").is_none(), "{user}"),
        }
        assert!(claims["scp"].is_string());
    }
}

#[test]
fn nobody_else_is_called_an_agent() {
    let world = World::new();
    for order in [
        TokenOrder::app_only(AGENT_BLUEPRINT_CLIENT_ID, CLIENT_ID),
        TokenOrder::app_only(DAEMON_CLIENT_ID, CLIENT_ID),
        TokenOrder::delegated(AGENT_USER, CLIENT_ID, CLIENT_ID),
    ] {
        let (_, claims) = peek(&world.control.mint(&order));
        let members = claims.as_object().unwrap();
        let agents = ["xms_par_app_azp", "xms_act_fct", "xms_sub_fct", "xms_idrel"];
        assert!(agents.iter().all(|name| !members.contains_key(*name)));
    }
}
