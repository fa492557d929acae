//! Scopes, in words.

use crate::oauth::scope::{Scope, ScopeToken};

/// One line of what is asked for.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Permission<'a> {
    pub(super) name: &'a str,
    /// Words that finish “will be able to”, if we have any.
    pub(super) words: Option<&'static str>,
}

/// The scopes of the protected server. Microsoft's words do not apply: the server may call a
/// scope of its own `Mail.Read`.
pub(super) fn of_server(scope: &Scope) -> Vec<Permission<'_>> {
    let permission = |token| {
        let name = ScopeToken::as_str(token);
        Permission {
            name,
            words: known(OPENID, name),
        }
    };
    scope.iter().map(permission).collect()
}

/// The scopes of Microsoft's own services. Graph is meant where none is named.
pub(super) fn of_microsoft(scope: &Scope) -> Vec<Permission<'_>> {
    let permission = |token| {
        let full = ScopeToken::as_str(token);
        let name = GRAPH_URIS
            .iter()
            .find_map(|uri| full.strip_prefix(uri))
            .unwrap_or(full);
        Permission {
            name,
            words: known(OPENID, name).or_else(|| known(GRAPH, name)),
        }
    };
    scope.iter().map(permission).collect()
}

fn known(words: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    words
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, words)| *words)
}

/// Microsoft Graph, in each of Microsoft's clouds.
const GRAPH_URIS: &[&str] = &[
    "https://graph.microsoft.com/",
    "https://graph.microsoft.us/",
    "https://microsoftgraph.chinacloudapi.cn/",
];

/// OpenID Connect Core §5.4 and §11.
const OPENID: &[(&str, &str)] = &[
    ("email", "see your email address"),
    ("offline_access", "stay connected while you are away"),
    ("openid", "know who you are"),
    ("profile", "see your name and user name"),
];

/// Those of Microsoft Graph that MCP servers ask for most.
const GRAPH: &[(&str, &str)] = &[
    (".default", "do all that your organisation has allowed it"),
    ("Calendars.Read", "read your calendars"),
    ("Calendars.ReadWrite", "read and change your calendars"),
    (
        "ChannelMessage.Read.All",
        "read the messages of your channels in Teams",
    ),
    ("Chat.Read", "read your chats in Teams"),
    (
        "Chat.ReadWrite",
        "read your chats in Teams and write in them",
    ),
    ("Contacts.Read", "read your contacts"),
    ("Contacts.ReadWrite", "read and change your contacts"),
    ("Files.Read", "read your files"),
    ("Files.Read.All", "read every file you can open"),
    ("Files.ReadWrite", "read, change and delete your files"),
    (
        "Files.ReadWrite.All",
        "read, change and delete every file you can open",
    ),
    (
        "Group.Read.All",
        "see groups, their members and their content",
    ),
    ("GroupMember.Read.All", "see groups and their members"),
    ("Mail.Read", "read your mail"),
    ("Mail.ReadWrite", "read, change and delete your mail"),
    ("Mail.Send", "send mail as you"),
    ("Notes.Read", "read your notebooks"),
    ("Notes.ReadWrite", "read and change your notebooks"),
    ("People.Read", "see the people you work with"),
    ("Sites.Read.All", "read every SharePoint site you can open"),
    (
        "Sites.ReadWrite.All",
        "read and change every SharePoint site you can open",
    ),
    ("Tasks.Read", "read your tasks"),
    ("Tasks.ReadWrite", "read and change your tasks"),
    ("User.Read", "read your profile at Microsoft"),
    (
        "User.Read.All",
        "read the profile of everybody in your organisation",
    ),
    (
        "User.ReadBasic.All",
        "see the name and address of everybody in your organisation",
    ),
];
