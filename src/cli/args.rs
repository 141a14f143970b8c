use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::manage::{
    AppsCommand, CallsCommand, ConfigVerb, ContextsCommand, CreateVerb, DeleteVerb,
    FunctionsCommand, GetVerb, InspectVerb, ListVerb, LogsCommand, RoutesCommand, Scale,
    TriggersCommand, UnsetVerb, UpdateVerb, UseVerb,
};
use crate::cli::session::Start;
use crate::cli::{build, deploy, import, index, init, invoke, start, version};

/// Run functions in hot containers.
#[derive(Debug, Parser)]
#[command(
    name = "fn",
    version,
    propagate_version = true,
    after_help = "fn COMMAND --help says more about a command. The server is the one of FN_API_URL,\n\
        or of the context in use, or http://localhost:8080."
)]
pub struct Cli {
    #[command(flatten)]
    start: Start,
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
    /// Ask an image for its functions, and say what is wrong with them.
    Index(index::IndexArgs),
    /// Take over what is deployed on an Fn server, from its SQLite file.
    Import(import::ImportArgs),
    /// Call a function; what comes on stdin is the body.
    Invoke(invoke::InvokeArgs),

    /// Create an app, function, route, trigger or context.
    #[command(subcommand)]
    Create(CreateVerb),
    /// List what the server has, and contexts.
    #[command(subcommand, visible_alias = "ls")]
    List(ListVerb),
    /// Show one thing, or one property of it.
    #[command(subcommand)]
    Inspect(InspectVerb),
    /// Show how many containers a function has, and why.
    Scale(Scale),
    /// Change an app, function, route, trigger or context.
    #[command(subcommand)]
    Update(UpdateVerb),
    /// Delete an app, function, route, trigger or context.
    #[command(subcommand)]
    Delete(DeleteVerb),
    /// Set a configuration value of an app, function or route.
    #[command(
        subcommand,
        after_help = "Example: fn config app demo GREETING Hello\n\
            Values are shown by fn list config and fn get config, and removed by fn unset config."
    )]
    Config(ConfigVerb),
    /// Show a configuration value, a past call or its log.
    #[command(subcommand)]
    Get(GetVerb),
    /// Remove configuration values, or use no context.
    #[command(subcommand)]
    Unset(UnsetVerb),
    /// Choose the context, and with it the server.
    #[command(subcommand)]
    Use(UseVerb),

    /// Run the server.
    Start(start::StartArgs),
    /// Show the versions of this program and of the server.
    Version,

    /// As create app, list apps and so on.
    #[command(subcommand, visible_alias = "app")]
    Apps(AppsCommand),
    /// As create function, list functions and so on.
    #[command(subcommand, visible_aliases = ["function", "func", "funcs", "fn", "fns"])]
    Functions(FunctionsCommand),
    /// As create route, list routes and so on.
    #[command(subcommand, visible_alias = "route")]
    Routes(RoutesCommand),
    /// As create trigger, list triggers and so on.
    #[command(subcommand, visible_aliases = ["trigger", "trig", "trigs"])]
    Triggers(TriggersCommand),
    /// As list calls and get call.
    #[command(subcommand)]
    Calls(CallsCommand),
    /// As get logs.
    #[command(subcommand, visible_alias = "log")]
    Logs(LogsCommand),
    /// As create context, use context and so on.
    #[command(subcommand, visible_aliases = ["context", "ctx"])]
    Contexts(ContextsCommand),
    /// Call a route; what comes on stdin is the body.
    Call(invoke::CallArgs),
}

/// The order of the help: what a newcomer needs comes first.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "Write and run functions",
        &["init", "build", "index", "deploy", "invoke"],
    ),
    (
        "Manage what is on the server",
        &[
            "create", "list", "inspect", "scale", "update", "delete", "config", "get", "unset",
            "use",
        ],
    ),
    ("The server", &["start", "import", "version"]),
    (
        "The same in the words of Fn 0.4",
        &[
            "apps",
            "functions",
            "routes",
            "triggers",
            "calls",
            "logs",
            "contexts",
            "call",
        ],
    ),
];

/// The arguments, with a help that shows the commands in groups.
fn command() -> clap::Command {
    let command = Cli::command();
    let mut help = String::from("{about-with-newline}\n{usage-heading} {usage}\n\n");
    for (title, names) in GROUPS {
        help.push_str(title);
        help.push_str(":\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(|c| c.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(help, "  {name:<11}{about}");
        }
        help.push('\n');
    }
    help.push_str("Options:\n{options}{after-help}");
    command.help_template(help)
}

/// Reads the arguments; where there is nothing to run, all is printed and the exit code is given.
pub fn parse() -> Result<Cli, ExitCode> {
    /// The code for arguments that make no sense.
    const USAGE: u8 = 2;
    let matches = command().try_get_matches();
    matches
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| {
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
    let start = &cli.start;
    match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Build(args) => build::run(args, &start.session()?).await,
        Command::Deploy(args) => deploy::run(args, &start.session()?).await,
        Command::Index(args) => index::run(args, &start.session()?).await,
        Command::Import(args) => import::run(args).await,
        Command::Invoke(args) => invoke::run(args, &start.session()?).await,
        Command::Create(verb) => verb.run(start).await,
        Command::List(verb) => verb.run(start).await,
        Command::Inspect(verb) => verb.run(start).await,
        Command::Scale(args) => args.run(&start.session()?).await,
        Command::Update(verb) => verb.run(start).await,
        Command::Delete(verb) => verb.run(start).await,
        Command::Config(verb) => verb.run(start).await,
        Command::Get(verb) => verb.run(start).await,
        Command::Unset(verb) => verb.run(start).await,
        Command::Use(verb) => verb.run(start),
        Command::Start(args) => start::run(args).await,
        Command::Version => version::run(&start.session()?).await,
        Command::Apps(command) => command.run(&start.session()?).await,
        Command::Functions(command) => command.run(&start.session()?).await,
        Command::Routes(command) => command.run(&start.session()?).await,
        Command::Triggers(command) => command.run(&start.session()?).await,
        Command::Calls(command) => command.run(&start.session()?).await,
        Command::Logs(command) => command.run(&start.session()?).await,
        Command::Contexts(command) => command.run(start).await,
        Command::Call(args) => args.run(&start.session()?).await,
    }
}

/// Runs a command as it is typed, with an environment of its own.
#[cfg(test)]
pub(super) async fn run_line(line: &str, environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let matches = command().try_get_matches_from(line.split(' '))?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.start.set_environment(environment);
    run(cli).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group_of_the_help() {
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let command = command();
        let mut all: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
        let help = command.clone().render_help().to_string();
        assert!(
            help.contains("\nWrite and run functions:\n  init       Create a function folder\n")
        );
    }

    /// Whether the help of every command below says what it is for.
    fn assert_explained(command: &clap::Command, path: &str) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            assert!(inner.get_about().is_some(), "{path}");
            assert_explained(inner, &path);
        }
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        assert_explained(&command(), "fn");
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
            "fn ls apps -n 5 --cursor x",
            "fn list triggers a f",
            "fn start --log-level DEBUG --port 9000",
            "fn import old/fn.db --dry-run",
            "fn index o/shop:1 --json --timeout 5",
            "fn deploy --app a --dry-run --skip-invalid --keep-missing --reindex",
            "fn version",
            "fn create app a --config K=V --annotation k=1 --syslog-url tcp://h:1",
            "fn create function a f image:1 --memory 64 --timeout 5 --idle-timeout 5",
            "fn create fn a f --image image:1 --format http",
            "fn create route a /p image:1 --type sync --headers H=v -f http -m 64 -c K=V",
            "fn create trigger a f t --type http --source /s",
            "fn create trig a f t -s /s",
            "fn create context c --provider default --api-url http://s --registry r",
            "fn inspect app a config.K",
            "fn inspect fn a f --endpoint",
            "fn inspect func a f image",
            "fn inspect route a /p",
            "fn inspect trigger a f t --endpoint",
            "fn update app a --config K=",
            "fn update function a f --memory 64",
            "fn update context registry r",
            "fn update context registry --delete",
            "fn delete app a --force",
            "fn delete app a -f -r",
            "fn delete function a f",
            "fn delete trigger a f t",
            "fn delete route a /p",
            "fn delete context c",
            "fn config app a K V",
            "fn config fn a f K V",
            "fn config route a /p K V",
            "fn get config app a K",
            "fn list config function a f",
            "fn list configs app a",
            "fn unset config route a /p K",
            "fn use context c",
            "fn unset context",
            "fn ls contexts",
            "fn list calls a",
            "fn list calls a f",
            "fn list calls a /p --from-time 2018-01-31T09:00:00Z -n 3",
            "fn get call a ID",
            "fn get calls a f ID",
            "fn get logs a f last",
            "fn get log a /p ID",
            "fn apps list",
            "fn apps create a --config K=V",
            "fn apps inspect a config",
            "fn apps config set a K V",
            "fn apps config get a K",
            "fn apps config list a",
            "fn app config unset a K",
            "fn apps delete a",
            "fn routes list a",
            "fn routes create a /p image:1 --format http",
            "fn routes create a /p --image image:1",
            "fn routes update a /p --timeout 5",
            "fn routes inspect a /p timeout",
            "fn routes delete a /p",
            "fn routes call a /p",
            "fn routes config set a /p K V",
            "fn calls list a --path /p --to-time 2018-01-31T09:00:00+01:00",
            "fn calls get a ID",
            "fn logs get a last",
            "fn call a /p --method PUT --content-type text/plain --display-call-id",
            "fn context list",
            "fn ctx use c",
            "fn --context c list apps",
            "fn list apps --context c",
        ] {
            let parsed = command().try_get_matches_from(line.split(' '));
            let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for line in [
            "fn create app",
            "fn create app a --config K",
            "fn index",
            "fn index i --timeout 0",
            "fn create trigger a f t",
            "fn create trigger a f t -s /s --type ftp",
            "fn create route a /p i --type later",
            "fn create context c --provider oracle",
            "fn update context registry",
            "fn update context registry r --delete",
            "fn inspect fn a f image --endpoint",
            "fn config app a K",
            "fn unset config app a",
            "fn get logs a",
            "fn list calls a /p --path /p",
            "fn list calls a --from-time yesterday",
        ] {
            let parsed = command().try_get_matches_from(line.split(' '));
            assert!(parsed.is_err(), "{line}");
        }
    }
}
