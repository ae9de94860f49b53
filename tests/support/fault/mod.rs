//! Faults that tests inject, one file per kind. For a bad line see [`super::line`].
//!
//! | fault | type |
//! |---|---|
//! | a disk that fills up and is emptied again | [`disk::SmallDisk`] |
//! | a file whose `open` never returns, as on a hung mount | [`files::HungFile`] |
//! | a database that another process keeps locked | [`store::StoreLock`] |
//! | a wall clock that is wrong, or jumps while the appliance runs | [`Clock`] |
//! | a TCP connection that stalls, bunches up, crawls or breaks | [`network::Proxy`] |
//! | a shell that allows few open files | [`Conditions::open_files_max`] |

pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod store;

use std::ffi::OsString;
use std::process::Command;

use clock::Clock;

/// Conditions of an appliance, for [`super::appliance::Appliance::start_under`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    /// Its wall clock, if not the machine's.
    pub(crate) clock: Option<Clock>,
    /// Size of the file system that holds its state, MiB.
    pub(crate) state_disk_mib: Option<u32>,
    /// Its soft limit of open files.
    pub(crate) open_files_max: Option<u64>,
}

impl Conditions {
    /// The command that runs `program` under these conditions. Its process becomes the program.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match self.open_files_max {
            None => Command::new(program),
            Some(max) => {
                let mut limited = Command::new("prlimit");
                limited.arg(format!("--nofile={max}:")).arg("--").arg(program);
                limited
            }
        };
        command.envs(self.clock.iter().flat_map(Clock::environment));
        command
    }
}

/// An environment variable and its value.
type Variable = (&'static str, OsString);
