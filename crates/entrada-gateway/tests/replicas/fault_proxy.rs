//! The network between one replica and the store, with all that can happen to it.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What a network does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Network {
    /// It works.
    Passes,
    /// Connections break, and new ones are closed at once.
    Refuses,
    /// Connections are accepted, and whatever is sent is lost.
    Swallows,
    /// Commands arrive, and their answers are lost.
    LosesAnswers,
    /// Nothing arrives until it is over; then all that was sent does.
    Stalls,
    /// Each connection breaks once so many bytes of answers went through: in the midst of one.
    CutsAfter(usize),
    /// Everything takes so much longer.
    Delays(Duration),
}

/// A port that leads to the store.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    port: u16,
    network: watch::Sender<Network>,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Leads to `store`, a port of this machine.
    pub(crate) async fn before(store: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = watch::Sender::new(Network::Passes);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, store, network.subscribe()));
        Self {
            port,
            network,
            _tasks: tasks,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn become_so(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn accept(listener: TcpListener, store: u16, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        connections.spawn(carry(near, store, network.clone()));
    }
}

async fn carry(near: TcpStream, store: u16, network: watch::Receiver<Network>) {
    if *network.borrow() == Network::Refuses {
        return;
    }
    // While the store is down there is nobody to connect to, which breaks this connection too.
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, store)).await else {
        return;
    };
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut refusing = network.clone();
    tokio::select! {
        () = pump((near_read, far_write), Way::There, network.clone()) => {}
        () = pump((far_read, near_write), Way::Back, network) => {}
        _ = refusing.wait_for(|network| *network == Network::Refuses) => {}
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    There,
    Back,
}

async fn pump(
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    way: Way,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 16 << 10];
    let mut cut = (Network::Passes, 0);
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let now = *network.borrow_and_update();
        let mut bytes = &buffer[..read];
        match (now, way) {
            (Network::Passes, _) | (Network::LosesAnswers | Network::CutsAfter(_), Way::There) => {}
            (Network::Refuses, _) => return,
            (Network::Swallows, _) | (Network::LosesAnswers, Way::Back) => {
                // A connection that lost something is of no use: it ends with the fault.
                let _over = network.wait_for(|network| *network != now).await;
                return;
            }
            (Network::Stalls, _) => {
                let _over = network.wait_for(|network| *network != now).await;
            }
            (Network::CutsAfter(most), Way::Back) => {
                if cut.0 != now {
                    cut = (now, 0);
                }
                bytes = &bytes[..read.min(most - cut.1)];
                cut.1 += bytes.len();
            }
            (Network::Delays(delay), _) => sleep(delay).await,
        }
        let written = to.write_all(bytes).await;
        if written.is_err() || matches!(now, Network::CutsAfter(most) if cut.1 == most) {
            return;
        }
    }
}
