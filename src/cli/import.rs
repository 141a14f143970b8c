use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config::{Env, ServerConfig, variable};
use crate::store::{Counts, FnDatabase, ImportReport, StoreUrl};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The Fn server's SQLite file, usually data/fn.db in the folder it was started in.
    file: PathBuf,
    /// Say what would be taken over, and take over nothing.
    #[arg(long)]
    dry_run: bool,
    /// Folder of the server that takes it over [env: FN_DATA_DIR] [default: ./data].
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

pub(super) async fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let cwd = std::env::current_dir().context("cannot tell the current folder")?;
    let mut config = ServerConfig::from_env(&Env::new(&variable), &cwd)?;
    if let Some(dir) = &args.data_dir {
        config.move_data_to(cwd.join(dir));
    }
    let failed = |what: &str| Failure::new(what);
    let target: StoreUrl = config.db_url.parse().map_err(|error| {
        failed("nothing was imported")
            .because(error)
            .hint("correct FN_DB_URL, which says where the server keeps its data")
    })?;
    let source = FnDatabase::read(&args.file).await.map_err(|error| {
        failed("nothing was imported")
            .because(error)
            .hint("give a copy of the Fn server's SQLite file, which is usually data/fn.db")
    })?;
    let report = match &target {
        // Opening it would make it.
        StoreUrl::Sqlite(path) if args.dry_run && !path.exists() => source.into_nothing(),
        _ => {
            let cannot = |error| {
                failed(&format!("cannot import into {target}"))
                    .because(error)
                    .hint("set FN_DB_URL or --data-dir to say where the server keeps its data")
            };
            let store = target.open(config.db_retries).await.map_err(cannot)?;
            source
                .write_to(&*store, args.dry_run)
                .await
                .map_err(cannot)?
        }
    };
    show(&report, &target, args.dry_run)?;
    match report.skipped.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} could not be imported, see above")).into()),
    }
}

fn show(report: &ImportReport, target: &StoreUrl, dry_run: bool) -> anyhow::Result<()> {
    for (what, why) in &report.skipped {
        output::note(&format!("skipped {what}: {why}"));
    }
    let verb = if dry_run { "would import" } else { "imported" };
    output::line(&format!("{verb} {} into {target}", words(report.created)))?;
    if report.present != Counts::default() {
        output::line(&format!("already there: {}", words(report.present)))?;
    }
    let is_file = matches!(target, StoreUrl::Sqlite(_));
    if !dry_run && is_file && report.created != Counts::default() {
        output::note("a server that is running on this file shows it after a restart");
    }
    Ok(())
}

fn words(counts: Counts) -> String {
    let words = [
        (counts.apps, "app"),
        (counts.routes, "route"),
        (counts.functions, "function"),
        (counts.triggers, "trigger"),
    ]
    .map(|(count, word)| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    });
    words.join(", ")
}
