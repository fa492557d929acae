//! An MCP server that is a child process.

mod attacks;
mod ending;
mod sessions;
mod stage;
mod stateless;
