//! What can go wrong between us and Redis.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::dial::Peer;

/// Why a command came to nothing, or may have.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is no connection, so nothing was done.
    #[error("redis cannot be reached")]
    Unreachable(#[source] Arc<Unreachable>),
    /// Nobody knows whether it was done.
    #[error("redis did not answer within {0:?}; what it was to do may have been done")]
    NoAnswer(Duration),
    /// Nobody knows whether it was done.
    #[error("the connection to redis broke; what it was to do may have been done")]
    Broken(#[source] RedisError),
    /// Redis said why it did nothing.
    #[error("redis refused")]
    Refused(#[source] RedisError),
    /// It was done, but could be lost with the primary.
    #[error("{confirmed} replicas confirmed a write that {wanted} must confirm")]
    Unconfirmed {
        /// How many did.
        confirmed: i64,
        /// How many must.
        wanted: u32,
    },
    /// It was done, but nobody waited for the replicas.
    #[error("redis would not wait for replicas to confirm a write")]
    NotWaited(#[source] RedisError),
    /// No node of the cluster has the slot of a key.
    #[error("no node of the redis cluster serves the slot {0}")]
    Unserved(u16),
    /// The URL says that it is one server.
    #[error("this redis is a cluster: its URL begins with redis+cluster:// or rediss+cluster://")]
    IsCluster,
    /// What one page of an export began is not there for the next.
    #[error("redis was restarted, or changed places, while it was being exported: begin anew")]
    ExportInterrupted,
    /// Something else wrote under our prefix, or it is no Redis.
    #[error("redis answered what this version does not understand")]
    NotUnderstood,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// The network says no.
    #[error("no connection to {peer}")]
    Io {
        /// Where to.
        peer: Peer,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It takes too long.
    #[error("no connection to {name} within {limit:?}")]
    TimedOut {
        /// Where to.
        name: String,
        /// How long it may take.
        limit: Duration,
    },
    /// Its certificate is not believed, or the two cannot agree.
    #[error("no TLS with {peer}")]
    Tls {
        /// Where to.
        peer: Peer,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It takes the connection, and says nothing that is TLS.
    #[error(
        "{peer} does not seem to speak TLS: if it is not meant to, the URL begins with redis://"
    )]
    NotTls {
        /// Where to.
        peer: Peer,
        /// What it said, if it said anything in time.
        #[source]
        source: Option<io::Error>,
    },
    /// Redis wants a password, and there is none.
    #[error(
        "{0} asks for a password, and there is none: put it in the URL, or in the file that \
         store_password_file of the gateway names"
    )]
    NoPassword(Peer),
    /// A sentinel wants a password, and there is none.
    #[error(
        "the sentinel {0} asks for a password, and there is none: sentinel_password or \
         sentinel_password_file in the URL says it"
    )]
    NoSentinelPassword(Peer),
    /// Redis does not let us in.
    #[error("{peer} let nobody in: are user and password right?")]
    Login {
        /// Who said so.
        peer: Peer,
        /// What it said.
        #[source]
        source: RedisError,
    },
    /// Redis has no database of that number.
    #[error("{peer} has no database {db}: the path of the URL says another, or nothing")]
    Database {
        /// Who said so.
        peer: Peer,
        /// Its number.
        db: i64,
        /// What it said.
        #[source]
        source: RedisError,
    },
    /// A sentinel, or a server, does not say who it is.
    #[error("{peer} would not say who is the primary")]
    Refused {
        /// Who said so.
        peer: Peer,
        /// What it said.
        #[source]
        source: RedisError,
    },
    /// The sentinels know of no such primary.
    #[error("the sentinels know no primary `{0}`")]
    NoSuchService(String),
    /// The sentinel named one that is a replica by now, or still.
    #[error("{0} is not the primary that a sentinel said it is")]
    NotPrimary(Peer),
}

/// What may be done about a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// Nothing.
    None,
    /// Asking again in a moment: it was certainly not done.
    Later,
    /// Asking whoever is the primary by then: it was certainly not done.
    NewPrimary,
    /// Sending the script: it was certainly not done.
    Script,
}

/// Where a cluster says that a slot is.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Redirect {
    pub(super) to: Peer,
    /// Whether it says so of this command alone: the slot is still on its way there.
    pub(super) once: bool,
}

impl Remedy {
    /// Whether it is likely that somebody else has the slot of a key.
    pub(super) fn doubts_place(self) -> bool {
        match self {
            Self::Later | Self::NewPrimary => true,
            Self::None | Self::Script => false,
        }
    }
}

impl Unreachable {
    pub(super) fn timed_out(peer: &Peer, limit: Duration) -> Self {
        Self::TimedOut {
            name: peer.to_string(),
            limit,
        }
    }

    /// Why there is no TLS.
    pub(super) fn of_tls(peer: &Peer, source: io::Error) -> Self {
        let peer = peer.clone();
        let said = source.get_ref().and_then(|it| it.downcast_ref());
        let is_other = matches!(said, Some(rustls::Error::InvalidMessage(_)));
        if is_other || source.kind() == io::ErrorKind::UnexpectedEof {
            let source = Some(source);
            return Self::NotTls { peer, source };
        }
        Self::Tls { peer, source }
    }

    /// The same, where it is a sentinel that is not reached.
    pub(super) fn of_sentinel(self) -> Self {
        if let Self::NoPassword(peer) = self {
            return Self::NoSentinelPassword(peer);
        }
        self
    }
}

impl Failure {
    /// Of this and what `another` node failed by, what says more: most of a cluster may be away, and what is wrong
    /// with a node that is there is to be mended.
    pub(super) fn or(self, another: Self) -> Self {
        if another.is_of_nobody() {
            self
        } else {
            another
        }
    }

    /// Whether nobody answered at all.
    fn is_of_nobody(&self) -> bool {
        let Self::Unreachable(why) = self else {
            return matches!(self, Self::NoAnswer(_));
        };
        matches!(**why, Unreachable::Io { .. } | Unreachable::TimedOut { .. })
    }

    /// What may be done about it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else Redis may say, asking again does not help"
    )]
    pub(super) fn remedy(&self) -> Remedy {
        let Self::Refused(error) = self else {
            return Remedy::None;
        };
        match error.kind() {
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::NoScript => Remedy::Script,
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown => Remedy::Later,
                ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown => Remedy::NewPrimary,
                _ => Remedy::None,
            },
            // A command that waits is ended so when its primary becomes a replica.
            _ if error.code() == Some("UNBLOCKED") => Remedy::NewPrimary,
            _ => Remedy::None,
        }
    }

    /// Whether a cluster says that the slot is elsewhere.
    pub(super) fn is_redirect(&self) -> bool {
        matches!(self, Self::Refused(error) if error.redirect_node().is_some())
    }

    /// Where the node that was `asked` says that the slot is.
    pub(super) fn redirect(&self, asked: &Peer) -> Option<Redirect> {
        let Self::Refused(error) = self else {
            return None;
        };
        let (place, _) = error.redirect_node()?;
        let (host, port) = place.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let to = match host.trim_matches(['[', ']']) {
            // A node that does not know its own name is where it was asked.
            "" => asked.at_port(port)?,
            host => Peer::Tcp {
                host: host.to_owned(),
                port,
            },
        };
        let once = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        Some(Redirect { to, once })
    }

    /// Whether Redis may have done it without our knowing, or did not get it at all.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) | Self::Broken(_) => true,
            Self::Refused(_)
            | Self::Unconfirmed { .. }
            | Self::NotWaited(_)
            | Self::Unserved(_)
            | Self::IsCluster
            | Self::ExportInterrupted
            | Self::NotUnderstood => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    #[test]
    fn a_server_without_tls_is_told_from_one_that_is_not_believed() {
        let peer = Peer::Unix("peer".into());
        let invalid = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        for (source, is_without) in [
            (invalid(InvalidMessage::InvalidContentType.into()), true),
            (io::ErrorKind::UnexpectedEof.into(), true),
            (
                invalid(rustls::Error::AlertReceived(
                    AlertDescription::HandshakeFailure,
                )),
                false,
            ),
            (
                invalid(rustls::CertificateError::UnknownIssuer.into()),
                false,
            ),
            (io::ErrorKind::ConnectionReset.into(), false),
        ] {
            let told = format!("{source}");
            let failure = Unreachable::of_tls(&peer, source);
            let found = matches!(failure, Unreachable::NotTls { .. });
            assert_eq!(found, is_without, "{told}");
        }
    }

    fn refused(said: &str) -> Failure {
        let said = format!("-{said}\r\n");
        let said = redis::parse_redis_value(said.as_bytes()).unwrap();
        Failure::Refused(said.extract_error().unwrap_err())
    }

    #[test]
    fn what_was_certainly_not_done_is_done_again() {
        for (said, remedy) in [
            (
                "LOADING Redis is loading the dataset in memory",
                Remedy::Later,
            ),
            (
                "TRYAGAIN Multiple keys request during rehashing",
                Remedy::Later,
            ),
            ("CLUSTERDOWN The cluster is down", Remedy::Later),
            (
                "READONLY You can't write against a replica",
                Remedy::NewPrimary,
            ),
            ("MASTERDOWN Link with MASTER is down", Remedy::NewPrimary),
            ("UNBLOCKED force unblock", Remedy::NewPrimary),
            ("NOSCRIPT No matching script", Remedy::Script),
            ("OOM command not allowed", Remedy::None),
            ("NOPERM this user has no permissions", Remedy::None),
            ("MISCONF errors writing to the AOF", Remedy::None),
            ("ERR value is out of range", Remedy::None),
        ] {
            assert_eq!(refused(said).remedy(), remedy, "{said}");
        }
        let silent = Failure::NoAnswer(Duration::from_secs(1));
        assert_eq!(silent.remedy(), Remedy::None);
    }

    #[test]
    fn redirections_are_read() {
        let asked = Peer::Tcp {
            host: "asked.example".to_owned(),
            port: 6379,
        };
        let to = |host: &str, once| {
            let (host, port) = (host.to_owned(), 7000);
            let to = Peer::Tcp { host, port };
            Some(Redirect { to, once })
        };
        for (said, redirect) in [
            ("MOVED 3999 127.0.0.1:7000", to("127.0.0.1", false)),
            ("ASK 3999 node.example:7000", to("node.example", true)),
            ("MOVED 3999 ::1:7000", to("::1", false)),
            ("MOVED 3999 :7000", to("asked.example", false)),
            ("ASK 3999 :7000", to("asked.example", true)),
            ("MOVED 3999 nowhere", None),
            ("LOADING 3999 127.0.0.1:7000", None),
        ] {
            assert_eq!(refused(said).redirect(&asked), redirect, "{said}");
        }
        let on_a_socket = Peer::Unix("redis.sock".into());
        assert_eq!(refused("MOVED 3999 :7000").redirect(&on_a_socket), None);
    }
}
