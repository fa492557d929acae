//! The gateway's end of the socket.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use entrada::administration::{Administration, Ended, GrantFilter, Selection};
use entrada::audit::Who;
use entrada::oauth::client::ClientId;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Listed, ORDER_LIMIT, Order, PAGE, Reply};
use crate::telemetry::WithCauses;

/// How long whoever connected may take to say what for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many may be connected at once.
const MOST: usize = 8;

/// A socket on which commands of this machine are answered; the file is gone when it is dropped.
///
/// # Security
///
/// Whoever owns the gateway's files, and root, can ask: they could read the store as well. Nobody else may
/// connect, and whoever does all the same is hung up on.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl ControlSocket {
    /// Opens the socket at `path`, in place of one that a gateway left behind. One that answers stays: where
    /// grants are in memory, several gateways may have one data directory.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if it cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        let socket = Self {
            owner: fs::metadata(path)?.uid(),
            path: path.to_owned(),
            listener,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    /// Answers by what `administration` makes for each command, until `stop`.
    pub(crate) async fn serve(
        self,
        administration: impl Fn() -> Administration,
        stop: CancellationToken,
    ) {
        let mut answering = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if answering.len() < MOST => accepted,
                _ = answering.join_next(), if !answering.is_empty() => continue,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) if self.is_for(&stream) => {
                    let administration = administration().by(Who::named(WHO));
                    answering.spawn(async move {
                        // Whoever hung up needs no answer.
                        let _ = answer(stream, &administration).await;
                    });
                }
                Ok(_) => {
                    tracing::warn!("a stranger on this machine was hung up on at control.sock");
                }
                Err(error) => {
                    tracing::warn!(%error, "control.sock");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    fn is_for(&self, stream: &UnixStream) -> bool {
        let peer = stream.peer_cred();
        peer.is_ok_and(|peer| may_ask(peer.uid(), self.owner))
    }
}

/// Whether a user of this machine may ask a gateway of `owner`'s: they can read what it keeps, too.
const fn may_ask(user: u32, owner: u32) -> bool {
    user == owner || user == ROOT
}

const ROOT: u32 = 0;

/// Who does what a command asks for, in the audit log: whoever runs it.
const WHO: &str = "a command on this machine";

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // It leads nowhere now. The next gateway takes it away, if this one cannot.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, administration: &Administration) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(ORDER_LIMIT));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let Ok(order) = serde_json::from_str(&line) else {
        let what = "the gateway does not know this order: it is of another version";
        return tell(&mut writer, &Reply::Refused(what.to_owned())).await;
    };
    let (so_far, mut heard) = mpsc::channel(1);
    let mut carried_out = std::pin::pin!(carry_out(order, administration, |ended| {
        // Whoever reads slowly hears of some only.
        let _ = so_far.try_send(ended);
    }));
    loop {
        tokio::select! {
            biased;
            reply = &mut carried_out => return tell(&mut writer, &reply).await,
            Some(ended) = heard.recv() => tell(&mut writer, &Reply::SoFar(ended)).await?,
        }
    }
}

async fn tell(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    reply: &Reply<Value>,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(io::Error::other)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

async fn carry_out(
    order: Order,
    administration: &Administration,
    so_far: impl FnMut(Ended) + Send,
) -> Reply<Value> {
    let done = match order {
        Order::Grants { filter, after } => grants(administration, &filter, after).await,
        Order::Clients { after } => clients(administration, after).await,
        Order::Revoke(selection) => revoke(administration, &selection, so_far).await,
        Order::Remove(client_id) => remove(administration, &client_id, so_far).await,
    };
    match done {
        Ok(done) => Reply::Done(done),
        Err(error) => Reply::Refused(WithCauses::of(&*error).to_string()),
    }
}

type Done = Result<Value, Box<dyn Error + Send + Sync>>;

async fn grants(
    administration: &Administration,
    filter: &GrantFilter,
    after: Option<String>,
) -> Done {
    let after = after.as_deref().map(str::parse).transpose()?;
    let page = administration.grants(filter, after.as_ref(), PAGE).await?;
    Ok(serde_json::to_value(Listed::from(page))?)
}

async fn clients(administration: &Administration, after: Option<String>) -> Done {
    let after = after.as_deref().map(str::parse).transpose()?;
    let page = administration.clients(after.as_ref(), PAGE).await?;
    Ok(serde_json::to_value(Listed::from(page))?)
}

async fn revoke(
    administration: &Administration,
    selection: &Selection,
    so_far: impl FnMut(Ended) + Send,
) -> Done {
    let ended = administration.revoke(selection, so_far).await?;
    let Ended { grants, codes, .. } = ended;
    let selection = selection.to_string();
    tracing::info!(selection, grants, codes, "grants ended, by a command");
    Ok(serde_json::to_value(ended)?)
}

async fn remove(
    administration: &Administration,
    client_id: &ClientId,
    so_far: impl FnMut(Ended) + Send,
) -> Done {
    let ended = administration.remove_client(client_id, so_far).await?;
    let grants = ended.grants;
    tracing::info!(%client_id, grants, "a client was removed, by a command");
    Ok(serde_json::to_value(ended)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_owner_and_root_may_ask() {
        for (user, owner, expected) in [
            (1000, 1000, true),
            (0, 1000, true),
            (1001, 1000, false),
            (1000, 0, false),
        ] {
            assert_eq!(may_ask(user, owner), expected, "{user} {owner}");
        }
    }

    #[tokio::test]
    async fn a_stranger_is_hung_up_on_before_anything_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let mut socket = ControlSocket::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let us = socket.owner;
        if us == ROOT {
            // Whoever tests as root is no stranger anywhere.
            return;
        }
        socket.owner = us + 1;
        let nothing = || -> Administration { panic!("a stranger is answered") };
        let stop = CancellationToken::new();
        let stranger = async {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let mut told = Vec::new();
            stream.read_to_end(&mut told).await.unwrap();
            stop.cancel();
            told
        };
        let ((), told) = tokio::join!(socket.serve(nothing, stop.clone()), stranger);
        assert!(told.is_empty());
    }

    #[tokio::test]
    async fn the_socket_of_a_gateway_that_runs_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let running = ControlSocket::open(&path).unwrap();
        let second = ControlSocket::open(&path).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(running);
        assert!(ControlSocket::open(&path).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        fs::write(&path, "mine").unwrap();
        assert!(ControlSocket::open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
