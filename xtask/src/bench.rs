use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::load::{self, Outcome};
use crate::process;
use crate::subject::{self, Subject};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer cells and shorter rounds: under two minutes.
    #[arg(long)]
    quick: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Leaves out what needs a Docker engine.
    #[arg(long)]
    no_docker: bool,
}

/// One way of calling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Cell {
    connections: usize,
    bytes: usize,
    lanes: usize,
}

/// What one subject did in one cell; medians of the rounds.
#[derive(Clone, Copy, Default, Serialize)]
struct Figures {
    per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
    /// Of the server's own process.
    cpu_micros_per_call: f64,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    cell: Cell,
    subject: &'static str,
    #[serde(flatten)]
    figures: Figures,
    /// Throughput by the proxy's.
    of_proxy: f64,
    /// Median latency by that of hyper alone.
    latency_of_hyper: f64,
}

/// Latency at half of what a subject can do at 64 connections.
#[derive(Serialize)]
struct Steady {
    subject: &'static str,
    per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
    steady: Vec<Steady>,
}

const ROUNDS: usize = 3;
const SMALL: usize = 200;
const LARGE: [usize; 2] = [64 << 10, 1 << 20];

const fn cell(connections: usize, bytes: usize, lanes: usize) -> Cell {
    Cell {
        connections,
        bytes,
        lanes,
    }
}

fn cells(quick: bool) -> Vec<Cell> {
    let mut cells = vec![cell(1, SMALL, 8), cell(8, SMALL, 8), cell(64, SMALL, 8)];
    if !quick {
        cells.extend([cell(256, SMALL, 8), cell(8, SMALL, 1), cell(64, SMALL, 64)]);
        cells.extend(LARGE.map(|bytes| cell(8, bytes, 8)));
    }
    cells
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cells = cells(args.quick);
    let lanes: Vec<usize> = distinct(cells.iter().map(|cell| cell.lanes));
    let sizes: Vec<usize> = distinct(cells.iter().map(|cell| cell.bytes));
    let mut subjects = vec![
        subject::fixed(&sizes).await?,
        subject::proxy(folder.path()).await?,
    ];
    let mut ways = vec![("process", vec![("FN_LAUNCHER", "process")])];
    if !args.no_docker {
        for way in ["link", "attach"] {
            ways.push((
                way,
                vec![("FN_LAUNCHER", "docker"), ("FN_DOCKER_STDIO", way)],
            ));
        }
    }
    for (name, settings) in ways {
        subjects.push(subject::kiln(name, folder.path(), &settings, &lanes).await?);
    }
    let time = Duration::from_millis(if args.quick { 700 } else { 2000 });
    let mut rows = Vec::new();
    for cell in cells {
        rows.extend(measure(&subjects, cell, time).await?);
    }
    let mut steady = Vec::new();
    for subject in &subjects {
        let most = rows
            .iter()
            .filter(|row| row.subject == subject.name && row.cell.bytes == SMALL);
        let most = most.map(|row| row.figures.per_second).fold(0.0, f64::max);
        let call = subject.call(SMALL, 8)?;
        let outcome = load::open(&call, 64, most / 2.0, time * 2).await?;
        steady.push(Steady {
            subject: subject.name,
            per_second: most / 2.0,
            p50_micros: outcome.latency.value_at_quantile(0.5),
            p99_micros: outcome.latency.value_at_quantile(0.99),
            p999_micros: outcome.latency.value_at_quantile(0.999),
        });
    }
    for subject in subjects {
        subject.stop().await?;
    }
    let report = Report { rows, steady };
    if args.json {
        print(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&table(&report));
    }
    Ok(())
}

fn distinct(all: impl Iterator<Item = usize>) -> Vec<usize> {
    let set: std::collections::BTreeSet<_> = all.collect();
    set.into_iter().collect()
}

/// The subjects in turns, so that a busy moment hits all of them.
async fn measure(subjects: &[Subject], cell: Cell, time: Duration) -> anyhow::Result<Vec<Row>> {
    let mut rounds: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    for subject in subjects {
        let call = subject.call(cell.bytes, cell.lanes)?;
        load::closed(&call, cell.connections, time / 4).await?;
    }
    for _ in 0..ROUNDS {
        for subject in subjects {
            let call = subject.call(cell.bytes, cell.lanes)?;
            let pid = subject.pid(cell.bytes);
            let before = process::cpu(pid)?;
            let outcome = load::closed(&call, cell.connections, time).await?;
            let used = process::cpu(pid)?.saturating_sub(before);
            let figures = figures(&outcome, used);
            rounds.entry(subject.name).or_default().push(figures);
        }
    }
    let medians: BTreeMap<_, _> = rounds
        .iter()
        .map(|(name, all)| (*name, medians(all)))
        .collect();
    let (hyper, proxy) = (medians["hyper"], medians["proxy"]);
    let rows = subjects.iter().map(|subject| {
        let figures = medians[subject.name];
        Row {
            cell,
            subject: subject.name,
            figures,
            of_proxy: figures.per_second / proxy.per_second,
            latency_of_hyper: figures.p50_micros / hyper.p50_micros,
        }
    });
    Ok(rows.collect())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn figures(outcome: &Outcome, cpu: Duration) -> Figures {
    let calls = outcome.latency.len() + outcome.refused;
    Figures {
        per_second: outcome.per_second(),
        p50_micros: outcome.latency.value_at_quantile(0.5) as f64,
        p99_micros: outcome.latency.value_at_quantile(0.99) as f64,
        cpu_micros_per_call: cpu.as_secs_f64() * 1e6 / calls.max(1) as f64,
    }
}

fn medians(all: &[Figures]) -> Figures {
    let median = |of: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Figures {
        per_second: median(|f| f.per_second),
        p50_micros: median(|f| f.p50_micros),
        p99_micros: median(|f| f.p99_micros),
        cpu_micros_per_call: median(|f| f.cpu_micros_per_call),
    }
}

fn table(report: &Report) -> String {
    use std::fmt::Write;
    let mut text = String::from(
        "connections    body lanes  subject      calls/s  of proxy    p50 us  of hyper    p99 us  CPU us/call\n",
    );
    for row in &report.rows {
        let (cell, figures) = (row.cell, row.figures);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>11} {:>7} {:>5}  {:<8} {:>11.0} {:>9.2} {:>9.0} {:>9.2} {:>9.0} {:>12.1}",
            cell.connections,
            cell.bytes,
            cell.lanes,
            row.subject,
            figures.per_second,
            row.of_proxy,
            figures.p50_micros,
            row.latency_of_hyper,
            figures.p99_micros,
            figures.cpu_micros_per_call,
        );
    }
    text.push_str("\nat half of that, 64 connections, from when a call was due:\n");
    for steady in &report.steady {
        let _ = writeln!(
            text,
            "{:<8} {:>9.0}/s  p50 {} us, p99 {} us, p99.9 {} us",
            steady.subject,
            steady.per_second,
            steady.p50_micros,
            steady.p99_micros,
            steady.p999_micros
        );
    }
    text
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(text: &str) {
    println!("{text}");
}
