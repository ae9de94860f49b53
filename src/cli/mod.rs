//! The command line: reads arguments, connects the rooms, and prints results on standard output.
//!
//! Invariant: no room knows it, and only here is anything written to standard output.
#![expect(clippy::print_stdout, reason = "a command line answers on standard output")]

mod admin;
mod aic;
mod arguments;
mod backup;
mod check;
mod clock;
mod doctor;
mod encoders;
mod engine;
mod models;
mod plan;
mod ports;
mod reload;
mod run;
mod speech;
mod start;
mod starts;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::arguments::RunArguments;
use crate::config;

/// AuraLink: an on-premises live-media appliance.
#[derive(Debug, Parser)]
#[command(name = "auralink", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance.
    Run(RunArguments),
    /// Validate a configuration file or a preset, and print what would run.
    Check {
        /// A file, or the name of a built-in preset. Default: the configuration that `run` uses.
        target: Option<String>,
    },
    /// Print what a preset puts between a source and its consumers.
    Plan {
        /// A preset file, or the name of a built-in preset.
        preset: String,
        /// What the source sends: codecs joined by `+`.
        #[arg(long, default_value = "h264+aac")]
        source: String,
        /// The source's video has B-frames, as with most encoders by default.
        #[arg(long)]
        b_frames: bool,
        /// Print it as Graphviz text: `auralink plan record --dot | dot -Tsvg > record.svg`.
        #[arg(long)]
        dot: bool,
    },
    /// Show what this machine has and lacks, and the commands that fix it.
    Doctor {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Run one engine in a separate process; started by the appliance.
    #[command(hide = true, subcommand)]
    Engine(engine::Engine),
    /// Show, fetch, import, check and delete models: speech-to-text, translation, voices.
    Models(models::Arguments),
    /// Encode, decode and inspect speech files of the neural voice codec.
    Aic {
        #[command(subcommand)]
        command: aic::AicCommand,
    },
    /// Write streams, settings and captions into a new file, while the appliance runs. The file has
    /// tokens: only its owner can read it.
    Backup {
        /// File to write.
        file: PathBuf,
        #[command(flatten)]
        at: backup::Place,
    },
    /// Read streams, settings and captions from a backup, of SQLite or of PostgreSQL. Stop the appliance
    /// first.
    Restore {
        /// File to read.
        file: PathBuf,
        /// Delete what the database has now.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        at: backup::Place,
    },
    /// Print the OpenAPI document of the API.
    Openapi,
    /// Try encoders in a process that may abort; started by the appliance.
    #[command(hide = true)]
    TryEncoders {
        /// Factory names. Default: all known ones.
        factories: Vec<String>,
    },
    /// Print every setting with its default and its reason: a file to start from.
    Config,
    /// Make a new admin token to replace a lost one, and print it. A running appliance uses it
    /// after a restart.
    Token {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Folder of the database.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
        /// Required: without this flag nothing is changed.
        #[arg(long, required = true)]
        new: bool,
    },
}

/// Runs the program. Errors go to standard error with their causes.
pub fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("auralink: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check { target } => check::check(target.as_deref()),
        Command::Plan { preset, source, b_frames, dot } => {
            plan::print(&preset, &source, b_frames, dot)
        }
        Command::Doctor { config } => doctor::doctor(config),
        Command::Engine(engine) => {
            engine::engine(&engine)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Models(arguments) => models::run(arguments),
        Command::Aic { command } => aic::run(command),
        Command::Backup { file, at } => backup::back_up(at, &file),
        Command::Restore { file, replace, at } => backup::restore(at, &file, replace),
        Command::Openapi => {
            print!("{}", crate::control::api::document_json());
            Ok(ExitCode::SUCCESS)
        }
        Command::TryEncoders { factories } => encoders::try_encoders(&factories),
        Command::Config => {
            print!("{}", config::MANUAL);
            Ok(ExitCode::SUCCESS)
        }
        Command::Token { config, state, new: _ } => {
            admin::new_token(&RunArguments { config, state, ..RunArguments::default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_later_of_demo_and_no_demo_wins() {
        let demo = |line: &[&str]| {
            let all = ["auralink", "run"].iter().chain(line);
            let Command::Run(run) = Arguments::parse_from(all).command else { panic!("run") };
            run.flags().into_iter().find(|f| f.field == "demo").map(|f| f.value)
        };
        assert_eq!(demo(&[]), None);
        assert_eq!(demo(&["--demo"]).as_deref(), Some("true"));
        assert_eq!(demo(&["--demo", "--no-demo"]).as_deref(), Some("false"));
        assert_eq!(demo(&["--no-demo", "--demo"]).as_deref(), Some("true"));
    }
}
