//! `entrada completions` and `entrada man`: what shells and `man` know of the command line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::command::CommandError;

/// For which shell.
#[derive(Clone, Copy, Debug, Args)]
#[non_exhaustive]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Where the pages go.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Man {
    /// Write a page for each subcommand to this directory [default: the first page, to standard output]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Completions {
    /// Writes what completes the command line `program` to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Output`] if nobody reads it.
    pub fn run(self, mut program: Command, out: &mut dyn Write) -> Result<(), CommandError> {
        // It is made in memory: the generator ends the program if it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "entrada", &mut script);
        out.write_all(&script).map_err(CommandError::Output)
    }
}

impl Man {
    /// Writes the manual of the command line `program`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Manual`] or [`CommandError::Output`] if it cannot be written.
    pub fn run(&self, program: Command, out: &mut dyn Write) -> Result<(), CommandError> {
        let Some(directory) = self.dir.clone() else {
            let written = clap_mangen::Man::new(program).render(out);
            return written.map_err(CommandError::Output);
        };
        let written = clap_mangen::generate_to(program, &directory);
        written.map_err(|source| CommandError::Manual { directory, source })
    }
}
