//! A command's end of the socket.

use std::io;
use std::path::{Path, PathBuf};

use entrada::administration::Ended;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Order, Reply};

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The gateway says why.
    #[error("the gateway that runs here says: {0}")]
    Refused(String),
    /// It hung up, or is of another version.
    #[error("the gateway that runs here does not answer: what was done stays so")]
    Lost(#[from] io::Error),
}

/// A gateway that runs on this machine.
#[derive(Debug)]
pub(crate) struct Gateway(PathBuf);

impl Gateway {
    /// The gateway that answers at `socket`, if one does.
    pub(crate) async fn at(socket: &Path) -> Option<Self> {
        let there = UnixStream::connect(socket).await.is_ok();
        there.then(|| Self(socket.to_owned()))
    }

    /// Has it carry out `order`; `told` hears now and then how far that has come.
    ///
    /// # Errors
    ///
    /// [`AskError`] if it says no, hangs up, or says what nobody understands.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        order: &Order,
        mut told: impl FnMut(Ended),
    ) -> Result<T, AskError> {
        let (reader, mut writer) = UnixStream::connect(&self.0).await?.into_split();
        let mut line = serde_json::to_vec(order).map_err(io::Error::other)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        let mut replies = BufReader::new(reader).lines();
        while let Some(line) = replies.next_line().await? {
            match serde_json::from_str(&line).map_err(io::Error::other)? {
                Reply::SoFar(ended) => told(ended),
                Reply::Done(done) => return Ok(done),
                Reply::Refused(what) => return Err(AskError::Refused(what)),
            }
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}
