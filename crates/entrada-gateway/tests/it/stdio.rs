//! An MCP server that is a child process.

mod attacks;
mod ending;
mod sessions;
mod sharing;
mod stage;
mod stateless;
