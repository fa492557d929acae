//! The way to an MCP server.

use crate::upstream::place::Place;
use crate::upstream::stdio::StdioSettings;

/// How an MCP server is reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transport {
    /// Over HTTP, at one of these places, which are replicas of one server.
    Http(Vec<Place>),
    /// As a child process, over its standard input and output.
    Stdio(StdioSettings),
}

impl Transport {
    /// What of it may stand in a log.
    pub fn shown(&self) -> String {
        self.shown_by(Place::shown)
    }

    /// The same with the path, for whoever looks whether that is right.
    pub fn whole(&self) -> String {
        self.shown_by(Place::whole)
    }

    fn shown_by(&self, show: impl Fn(&Place) -> String) -> String {
        match self {
            Self::Http(places) => {
                let places = places.iter().map(show);
                places.collect::<Vec<_>>().join(", ")
            }
            Self::Stdio(stdio) => format!("command {}", stdio.command.program),
        }
    }
}
