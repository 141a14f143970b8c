use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::session::Session;
use crate::cli::{build, deploy, import, init, invoke, list, start, version};

/// Run functions in hot containers.
#[derive(Debug, Parser)]
#[command(name = "fn", version, propagate_version = true)]
pub struct Cli {
    /// Show what the tools underneath say.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a function folder.
    Init(init::InitArgs),
    /// Build the function of a folder.
    Build(build::BuildArgs),
    /// Build the function of a folder and put it on the server.
    Deploy(deploy::DeployArgs),
    /// Take over what is deployed on an Fn server, from its SQLite file.
    Import(import::ImportArgs),
    /// Call a function; what comes on stdin is the body.
    Invoke(invoke::InvokeArgs),
    /// List what the server has.
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Run the server.
    Start(start::StartArgs),
    /// Show the versions of this program and of the server.
    Version,
}

/// Reads the arguments; where there is nothing to run, all is printed and the exit code is given.
pub fn parse() -> Result<Cli, ExitCode> {
    /// The code for arguments that make no sense.
    const USAGE: u8 = 2;
    Cli::try_parse().map_err(|error| {
        // Help and version come this way too; a reader that went away is no failure.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(USAGE)
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// Does what the arguments ask for.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let session = || Session::open(cli.verbose);
    match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Build(args) => build::run(&args, &session()?).await,
        Command::Deploy(args) => deploy::run(&args, &session()?).await,
        Command::Import(args) => import::run(&args).await,
        Command::Invoke(args) => invoke::run(&args, &session()?).await,
        Command::List(args) => list::run(&args, &session()?).await,
        Command::Start(args) => start::run(&args).await,
        Command::Version => version::run(&session()?).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn spellings_that_fn_users_know_are_understood() {
        for line in [
            "fn init --runtime rust --trigger http hello",
            "fn init --runtime=rust --name hello",
            "fn deploy --app a --local -v",
            "fn -v deploy --app a --create-app --no-bump --registry r/o folder",
            "fn invoke a f --content-type application/json --display-call-id",
            "fn list functions a",
            "fn list fns a --output json",
            "fn ls apps",
            "fn list triggers a f",
            "fn start --log-level DEBUG --port 9000",
            "fn import old/fn.db --dry-run",
            "fn version",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
