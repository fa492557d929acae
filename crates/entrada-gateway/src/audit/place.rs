//! Where the audit log goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use entrada::platform::{Clock as _, SystemClock};

use super::line::rfc3339;

/// Where the audit log goes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuditPlace {
    /// To the end of a file.
    File(PathBuf),
    /// To standard output: the log of the process is on standard error.
    Stdout,
    /// To a socket of syslog's on this machine.
    SyslogSocket(PathBuf),
    /// To syslog at `host:port`, over UDP (RFC 5426), which loses lines unseen.
    SyslogUdp(String),
    /// To syslog at `host:port`, over TCP (RFC 6587 §3.4.1).
    SyslogTcp(String),
}

impl FromStr for AuditPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write file:/PATH, stdout, syslog:/dev/log, syslog:udp://HOST:PORT or \
                    syslog:tcp://HOST:PORT";
        let server = |text: &str| {
            let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
            port.map(|_| text.to_owned()).ok_or_else(|| form.to_owned())
        };
        let path = |text: &str| {
            let path = PathBuf::from(text);
            path.is_absolute()
                .then_some(path)
                .ok_or_else(|| form.to_owned())
        };
        if text == "stdout" {
            return Ok(Self::Stdout);
        }
        match text.split_once(':') {
            Some(("file", file)) => path(file).map(Self::File),
            Some(("syslog", to)) => match to.split_once("://") {
                Some(("udp", to)) => server(to).map(Self::SyslogUdp),
                Some(("tcp", to)) => server(to).map(Self::SyslogTcp),
                Some(_) => Err(form.to_owned()),
                None if cfg!(unix) => path(to).map(Self::SyslogSocket),
                None => Err("there are no such sockets on this system".to_owned()),
            },
            _ => Err(form.to_owned()),
        }
    }
}

impl AuditPlace {
    /// How long a line may be: what is sent as a datagram has to fit into one (RFC 5426 §3.2), and one that
    /// does not would keep all others waiting.
    pub(super) const fn longest_line(&self) -> usize {
        match self {
            Self::File(_) | Self::Stdout | Self::SyslogTcp(_) => usize::MAX,
            Self::SyslogSocket(_) | Self::SyslogUdp(_) => LONGEST_DATAGRAM,
        }
    }
}

/// How long a line in a datagram may be, with what stands before it.
const LONGEST_DATAGRAM: usize = 65_000;

/// What lines are written to.
#[derive(Debug)]
pub(super) struct Output {
    place: AuditPlace,
    open: Option<Sink>,
    /// Whether a line was begun and not ended.
    torn: bool,
}

#[derive(Debug)]
enum Sink {
    File(File),
    Stdout,
    #[cfg(unix)]
    Socket(std::os::unix::net::UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Output {
    /// Opens `place`.
    pub(super) fn open(place: &AuditPlace) -> io::Result<Self> {
        Ok(Self {
            open: Some(Sink::open(place)?),
            place: place.clone(),
            torn: false,
        })
    }

    /// Opens it anew at the next line.
    pub(super) fn reopen(&mut self) {
        self.open = None;
    }

    /// Writes `lines`, each with its end. Returns how many were, if not all.
    pub(super) fn write(&mut self, lines: &[&str]) -> Result<(), (usize, io::Error)> {
        if self.open.is_none() {
            self.open = Some(Sink::open(&self.place).map_err(|error| (0, error))?);
        }
        let written = match &mut self.open {
            Some(Sink::File(file)) => append(file, lines, &mut self.torn),
            Some(Sink::Stdout) => append(&mut io::stdout().lock(), lines, &mut self.torn),
            Some(sink) => each(lines, |line| sink.send(line)),
            None => Ok(()),
        };
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

/// Writes all lines in one go: what is whole of it was written, whatever became of the rest.
fn append(
    to: &mut impl io::Write,
    lines: &[&str],
    torn: &mut bool,
) -> Result<(), (usize, io::Error)> {
    let mut text = lines.concat();
    let mut before = 0;
    if *torn {
        text.insert(0, '\n');
        before = 1;
    }
    let mut rest = text.as_bytes();
    let failed = loop {
        if rest.is_empty() {
            *torn = false;
            break to.flush().err();
        }
        match to.write(rest) {
            Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Some(error),
        }
    };
    let Some(error) = failed else { return Ok(()) };
    let mut written = text.len() - rest.len();
    if written > 0 {
        *torn = !text.get(..written).is_some_and(|text| text.ends_with('\n'));
        written -= before;
    }
    let mut end = 0;
    let whole = lines.iter().take_while(|line| {
        end += line.len();
        end <= written
    });
    Err((whole.count(), error))
}

fn each(
    lines: &[&str],
    mut send: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), (usize, io::Error)> {
    for (at, line) in lines.iter().enumerate() {
        send(line.trim_end_matches('\n')).map_err(|error| (at, error))?;
    }
    Ok(())
}

impl Sink {
    fn open(place: &AuditPlace) -> io::Result<Self> {
        match place {
            AuditPlace::File(path) => {
                let mut options = OpenOptions::new();
                options.append(true).create(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
                options.open(path).map(Self::File)
            }
            AuditPlace::Stdout => Ok(Self::Stdout),
            #[cfg(unix)]
            AuditPlace::SyslogSocket(path) => {
                let socket = std::os::unix::net::UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Socket(socket))
            }
            #[cfg(not(unix))]
            AuditPlace::SyslogSocket(_) => Err(io::ErrorKind::Unsupported.into()),
            AuditPlace::SyslogUdp(server) => {
                let to = resolved(server)?;
                let any: &str = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                Ok(Self::Udp(socket))
            }
            AuditPlace::SyslogTcp(server) => {
                let stream = TcpStream::connect_timeout(&resolved(server)?, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    /// Sends a line in a message of its own (RFC 5424 §6).
    fn send(&mut self, line: &str) -> io::Result<()> {
        let now = rfc3339(SystemClock::default().now());
        let message = format!("<{PRIORITY}>1 {now} - entrada - audit - {line}");
        match self {
            Self::File(_) | Self::Stdout => Ok(()),
            #[cfg(unix)]
            Self::Socket(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Tcp(stream) => {
                // RFC 6587 §3.4.1: octet counting.
                let framed = format!("{} {message}", message.len());
                stream.write_all(framed.as_bytes())
            }
        }
    }
}

fn resolved(server: &str) -> io::Result<SocketAddr> {
    let mut addresses = server.to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Facility 13, log audit; severity 6, informational (RFC 5424 §6.2.1).
const PRIORITY: u8 = 13 * 8 + 6;

/// How long syslog may take to take a line.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_so() {
        for (text, expected) in [
            ("stdout", AuditPlace::Stdout),
            ("file:/a/b", AuditPlace::File("/a/b".into())),
            (
                "syslog:/dev/log",
                AuditPlace::SyslogSocket("/dev/log".into()),
            ),
            (
                "syslog:udp://h:514",
                AuditPlace::SyslogUdp("h:514".to_owned()),
            ),
            (
                "syslog:tcp://[::1]:6514",
                AuditPlace::SyslogTcp("[::1]:6514".to_owned()),
            ),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        for text in [
            "",
            "file",
            "file:a",
            "file:",
            "/a",
            "syslog",
            "syslog:log",
            "syslog:udp://h",
            "syslog:tls://h:1",
            "syslog:udp://:1",
            "syslog:tcp://h:x",
            "stdout:",
        ] {
            assert!(text.parse::<AuditPlace>().is_err(), "{text}");
        }
    }

    /// Takes so many bytes, and no more.
    struct Full(Vec<u8>, usize);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.1.saturating_sub(self.0.len()).min(bytes.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend_from_slice(&bytes[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_torn_stands_alone() {
        let lines = ["one\n", "two\n", "three\n"];
        for (room, whole, then) in [
            (0, 0, "one\ntwo\nthree\n"),
            (3, 0, "one\none\ntwo\nthree\n"),
            (4, 1, "one\ntwo\nthree\n"),
            (6, 1, "one\ntw\ntwo\nthree\n"),
            (13, 2, "one\ntwo\nthree\nthree\n"),
            (14, 3, "one\ntwo\nthree\n"),
        ] {
            let (mut full, mut torn) = (Full(Vec::new(), room), false);
            let written = append(&mut full, &lines, &mut torn);
            assert_eq!(written.map_or_else(|(whole, _)| whole, |()| 3), whole);
            full.1 = usize::MAX;
            append(&mut full, &lines[whole..], &mut torn).unwrap();
            assert_eq!(String::from_utf8(full.0).unwrap(), then, "{room}");
        }
    }
}
