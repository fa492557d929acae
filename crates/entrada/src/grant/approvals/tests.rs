//! The rules of what is remembered as tables.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(days: u64) -> Timestamp {
    Timestamp::from_unix(days * DAY.as_secs())
}

fn grant(nth: u16) -> GrantId {
    let [high, low] = nth.to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[high, low]);
    GrantId::from_stored(bytes)
}

fn user(name: &str) -> Principal {
    Principal {
        tenant_id: "t".to_owned(),
        object_id: Some(name.to_owned()),
        ..Principal::default()
    }
}

/// What a request says, to be changed.
#[derive(Clone)]
struct Request {
    client_id: ClientId,
    redirect: RedirectUri,
    resource: ResourceIndicator,
    scope: Scope,
    microsoft: Scope,
}

impl Request {
    fn of(client_id: &str, redirect: &str, scope: &str, microsoft: &str) -> Self {
        Self {
            client_id: ClientId::parse(client_id).unwrap(),
            redirect: RedirectUri::parse(redirect).unwrap(),
            resource: ResourceIndicator::parse("https://mcp.example/mcp").unwrap(),
            scope: Scope::parse(scope).unwrap(),
            microsoft: Scope::parse(microsoft).unwrap(),
        }
    }

    fn usual() -> Self {
        Self::of("c", "http://127.0.0.1:1000/cb", "read write", "g/x g/y")
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            client_id: &self.client_id,
            redirect: &self.redirect,
            resource: &self.resource,
            scope: &self.scope,
            microsoft: &self.microsoft,
        }
    }

    fn granted(&self, id: GrantId, asked: bool) -> NewGrant<'_> {
        NewGrant {
            id,
            wanted: self.wanted(),
            client_name: Some("Client"),
            asked,
        }
    }
}

fn nothing() -> Approvals {
    Approvals::none(UserKey::of(&user("alice")).unwrap())
}

fn approved(request: &Request, day: u64) -> Approvals {
    nothing().with(&request.granted(grant(1), true), at(day))
}

fn lasting(days: u32) -> Remember {
    Remember {
        lifetime: DAY * days,
        ..Remember::default()
    }
}

#[test]
fn no_more_than_was_approved_is_remembered() {
    let usual = Request::usual();
    let approvals = approved(&usual, 10);
    let elsewhere = ResourceIndicator::parse("https://mcp.example/other").unwrap();
    for (what, request, remembered) in [
        ("the same", usual.clone(), true),
        (
            "less",
            Request::of("c", "http://127.0.0.1:1000/cb", "read", "g/x"),
            true,
        ),
        (
            "another port",
            Request::of("c", "http://127.0.0.1:2000/cb", "read write", "g/x g/y"),
            true,
        ),
        (
            "more of us",
            Request::of("c", "http://127.0.0.1:1000/cb", "read write delete", "g/x"),
            false,
        ),
        (
            "more of Microsoft",
            Request::of("c", "http://127.0.0.1:1000/cb", "read", "g/x g/z"),
            false,
        ),
        (
            "another client",
            Request::of("d", "http://127.0.0.1:1000/cb", "read", ""),
            false,
        ),
        (
            "another path",
            Request::of("c", "http://127.0.0.1:1000/other", "read", ""),
            false,
        ),
        (
            "another host",
            Request::of("c", "https://client.example/cb", "read", ""),
            false,
        ),
        (
            "another resource",
            Request {
                resource: elsewhere,
                ..usual
            },
            false,
        ),
    ] {
        let found = approvals.remembered(&request.wanted(), lasting(90), at(10));
        assert_eq!(found.is_some(), remembered, "{what}");
    }
}

#[test]
fn it_is_remembered_of_the_user_who_approved() {
    let request = Request::usual();
    let remembered = approved(&request, 10)
        .remembered(&request.wanted(), lasting(90), at(10))
        .unwrap();
    let nobody = Principal {
        object_id: None,
        ..user("alice")
    };
    let of_another_tenant = Principal {
        tenant_id: "u".to_owned(),
        ..user("alice")
    };
    for (principal, is_theirs) in [
        (user("alice"), true),
        (user("bob"), false),
        (of_another_tenant, false),
        (nobody, false),
    ] {
        assert_eq!(remembered.is_of(&principal), is_theirs);
    }
}

#[test]
fn it_is_remembered_as_long_as_the_policy_says() {
    let request = Request::usual();
    let approvals = approved(&request, 10);
    let on_device = Remember {
        apps_on_device: false,
        ..lasting(90)
    };
    for (policy, day, remembered) in [
        (lasting(90), 99, true),
        (lasting(90), 100, false),
        // The clock was set back.
        (lasting(90), 9, false),
        (lasting(1), 11, false),
        (on_device, 10, false),
    ] {
        let found = approvals.remembered(&request.wanted(), policy, at(day));
        assert_eq!(found.is_some(), remembered, "{policy:?} {day}");
    }
    for redirect in ["cursor://app/cb", "http://localhost/cb"] {
        let request = Request::of("c", redirect, "read", "");
        let found = approved(&request, 10).remembered(&request.wanted(), on_device, at(10));
        assert!(found.is_none(), "{redirect}");
    }
    let website = Request::of("c", "https://client.example/cb", "read", "");
    let found = approved(&website, 10).remembered(&website.wanted(), on_device, at(10));
    assert!(found.is_some());
}

#[test]
fn logins_nobody_was_asked_for_prolong_nothing() {
    let request = Request::usual();
    let more = Request::of("c", "http://127.0.0.1:1000/cb", "read write delete", "g/z");
    let unasked = more.granted(grant(2), false);
    // Never asked: nothing is remembered.
    let approvals = nothing().with(&unasked, at(10));
    let found = approvals.remembered(&more.wanted(), lasting(90), at(10));
    assert!(found.is_none());
    // Asked before: neither for longer nor for more.
    let approvals = approved(&request, 10).with(&unasked, at(50));
    let remembered = |wanted, day| {
        approvals
            .remembered(&wanted, lasting(90), at(day))
            .is_some()
    };
    assert!(remembered(request.wanted(), 99));
    assert!(!remembered(request.wanted(), 100));
    assert!(!remembered(more.wanted(), 50));
}

#[test]
fn what_was_asked_last_counts() {
    let less = Request::of("c", "http://127.0.0.1:1000/cb", "read", "");
    let approvals = approved(&Request::usual(), 10).with(&less.granted(grant(2), true), at(50));
    let remembered = |wanted, day| {
        approvals
            .remembered(&wanted, lasting(90), at(day))
            .is_some()
    };
    assert!(remembered(less.wanted(), 139));
    assert!(!remembered(Request::usual().wanted(), 50));
}

#[test]
fn a_client_goes_with_all_its_grants() {
    let (one, two) = (
        Request::usual(),
        Request::of("c", "https://client.example/cb", "read", ""),
    );
    let other = Request::of("d", "https://client.example/cb", "read", "");
    let approvals = approved(&one, 10)
        .with(&two.granted(grant(2), true), at(11))
        .with(&one.granted(grant(3), false), at(12))
        .with(&other.granted(grant(4), true), at(13));
    assert_eq!(approvals.version(), 4);
    let (left, mut gone) = approvals.without(&one.client_id).unwrap();
    gone.sort_by_key(|id| *id.as_bytes());
    assert_eq!(gone, [grant(1), grant(2), grant(3)]);
    assert_eq!(left.version(), 5);
    assert_eq!(left.grants().collect::<Vec<_>>(), [grant(4)]);
    let policy = lasting(90);
    assert!(left.remembered(&one.wanted(), policy, at(13)).is_none());
    assert!(left.remembered(&other.wanted(), policy, at(13)).is_some());
    assert!(left.without(&one.client_id).is_none());
}

#[test]
fn clients_are_shown_once_and_the_last_used_first() {
    let (one, two) = (
        Request::usual(),
        Request::of("c", "https://client.example/cb", "delete", ""),
    );
    let other = Request::of("d", "https://client.example/cb", "read", "");
    let approvals = approved(&other, 10)
        .with(&one.granted(grant(2), true), at(11))
        .with(&two.granted(grant(3), true), at(12));
    let shown = approvals.clients();
    let [first, second] = shown.as_slice() else {
        panic!("{shown:?}");
    };
    assert_eq!(first.id, one.client_id);
    assert_eq!(first.name.as_deref(), Some("Client"));
    assert_eq!(first.redirects, [two.redirect, one.redirect]);
    assert_eq!(first.scope, Scope::parse("delete read write").unwrap());
    assert_eq!(first.used_at, at(12));
    assert_eq!(second.id, other.client_id);
}

#[test]
fn what_there_is_too_much_of_is_thinned_out() {
    let request = Request::usual();
    let mut approvals = nothing();
    for nth in 0..256 {
        approvals = approvals.with(&request.granted(grant(nth), true), at(u64::from(nth)));
    }
    assert!(!approvals.is_crowded());
    approvals = approvals.with(&request.granted(grant(256), true), at(256));
    assert!(approvals.is_crowded());
    // Those that ended make room, and nothing else happens.
    let ended = HashSet::from([grant(7), grant(200)]);
    let (left, gone) = approvals.thinned_out(&ended);
    assert_eq!((left.grants().count(), gone), (255, Vec::new()));
    assert!(!left.is_crowded());
    // Where none ended the oldest must.
    let (left, gone) = approvals.thinned_out(&HashSet::new());
    let oldest: Vec<_> = (0..65).map(grant).collect();
    assert_eq!((left.grants().count(), gone), (GRANTS_LEFT, oldest));
    assert_eq!(left.version(), approvals.version());
}

#[test]
fn of_many_clients_the_last_used_are_kept() {
    let mut approvals = nothing();
    for nth in 0..130 {
        let request = Request::of(&format!("c{nth}"), "https://client.example/cb", "read", "");
        approvals = approvals.with(&request.granted(grant(nth), true), at(u64::from(nth)));
    }
    assert!(approvals.is_crowded());
    let (left, gone) = approvals.thinned_out(&HashSet::new());
    assert_eq!(gone, [grant(0), grant(1)]);
    assert_eq!(left.clients().len(), MOST_APPROVALS);
    assert_eq!(left.clients().first().unwrap().id.as_str(), "c129");
    let (left, gone) = approvals.thinned_out(&(3..130).map(grant).collect());
    assert_eq!((left.clients().len(), gone.len()), (3, 0));
}

#[test]
fn a_grant_that_was_just_noted_is_not_looked_for() {
    let request = Request::usual();
    let approvals = approved(&request, 10);
    let settled = |seconds| {
        let now = at(10) + Duration::from_secs(seconds);
        approvals.settled_grants(now).count()
    };
    assert_eq!([settled(0), settled(599), settled(600)], [0, 0, 1]);
    // Nor does a replica whose clock is behind take it for one that never came: it would be on no list.
    let behind = Timestamp::from_unix(at(10).as_unix() - 1);
    assert_eq!(approvals.settled_grants(behind).count(), 0);
}

#[test]
fn it_is_kept_for_years_after_the_last_login() {
    let request = Request::usual();
    let approvals = approved(&request, 10).with(&request.granted(grant(2), false), at(20));
    assert_eq!(approvals.expires_at(), at(20) + KEPT);
}
