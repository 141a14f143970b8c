use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::load::{self, Outcome};
use crate::process::{self, Machine};
use crate::special::{self, Cold, Idle, Overload, ScaleUp};
use crate::subject::{self, Ground, Kiln, Lanes, Subject};

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
    /// The server that is measured.
    #[arg(long, value_name = "PATH", default_value = "target/release/fn")]
    program: PathBuf,
}

/// How much is measured.
struct Effort {
    cells: Vec<Cell>,
    round: Duration,
    /// How often a round is made that [others](STOLEN) disturb.
    tries: usize,
    idle_lanes: usize,
    scale_ups: usize,
    colds: usize,
}

/// One way of calling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Cell {
    connections: usize,
    bytes: usize,
    lanes: Lanes,
}

/// What one subject did in one cell; medians of the rounds.
#[derive(Clone, Copy, Default, Serialize)]
struct Figures {
    per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
    /// Of the server's own process.
    cpu_micros_per_call: f64,
    /// Of all processes: callers, server, engine and functions.
    machine_micros_per_call: f64,
    /// Of the processors' time, what other machines on the host had.
    stolen_percent: f64,
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
    /// Processor time of the server by that of the proxy.
    cpu_of_proxy: f64,
}

/// Latency at half of what a subject can do at 64 connections.
#[derive(Serialize)]
struct Steady {
    subject: &'static str,
    per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
    /// The last one by the proxy's.
    p999_of_proxy: f64,
    stolen_percent: f64,
}

/// The most memory that a server had in all of this.
#[derive(Serialize)]
struct Peak {
    subject: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
    steady: Vec<Steady>,
    peaks: Vec<Peak>,
    overload: Vec<Overload>,
    idle: Idle,
    scale_up: Vec<ScaleUp>,
    cold: Vec<Cold>,
}

const ROUNDS: usize = 3;
/// A round in which other machines on the host had more of the processors, in hundredths, says little
/// of what is measured.
const STOLEN: f64 = 2.0;
const SMALL: usize = 200;
const MIDDLE: usize = 64 << 10;
const LARGE: usize = 1 << 20;
const EIGHT: Lanes = Lanes::These(8);

const fn cell(connections: usize, bytes: usize, lanes: Lanes) -> Cell {
    Cell {
        connections,
        bytes,
        lanes,
    }
}

impl Effort {
    fn quick() -> Self {
        Self {
            cells: vec![
                cell(1, SMALL, EIGHT),
                cell(8, SMALL, EIGHT),
                cell(64, SMALL, EIGHT),
                cell(64, SMALL, Lanes::Scaled),
                cell(8, LARGE, EIGHT),
            ],
            round: Duration::from_millis(500),
            tries: 1,
            idle_lanes: 200,
            scale_ups: 1,
            colds: 3,
        }
    }

    fn full() -> Self {
        Self {
            cells: vec![
                cell(1, SMALL, EIGHT),
                cell(8, SMALL, EIGHT),
                cell(64, SMALL, EIGHT),
                cell(256, SMALL, EIGHT),
                cell(8, SMALL, Lanes::These(1)),
                cell(64, SMALL, Lanes::These(64)),
                cell(64, SMALL, Lanes::Scaled),
                cell(8, MIDDLE, EIGHT),
                cell(8, LARGE, EIGHT),
            ],
            round: Duration::from_secs(2),
            tries: 2,
            idle_lanes: 1000,
            scale_ups: 3,
            colds: 20,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let effort = if args.quick {
        Effort::quick()
    } else {
        Effort::full()
    };
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path(), &args.program);
    progress("starting the servers and their functions");
    let subjects = subjects(&ground, &effort, !args.no_docker).await?;
    let mut rows = Vec::new();
    for (number, cell) in effort.cells.iter().enumerate() {
        progress(&format!("cell {} of {}", number + 1, effort.cells.len()));
        rows.extend(measure(&subjects, *cell, &effort).await?);
    }
    progress("steady load");
    let steady = steady(&subjects, &rows, &effort).await?;
    let mut peaks = Vec::new();
    for subject in subjects {
        peaks.push(Peak {
            subject: subject.name,
            bytes: process::peak(subject.pid(SMALL))?,
        });
        subject.stop().await?;
    }
    let (mut overload, mut scale_up) = (Vec::new(), Vec::new());
    for (name, settings) in ways(!args.no_docker) {
        if name == "attach" {
            continue;
        }
        progress("too many calls, and many first ones");
        let kiln = Kiln::start(&format!("{name}-special"), &ground, &settings).await?;
        overload.push(special::overload(name, &kiln, effort.round).await?);
        scale_up.push(special::scale_up(name, &kiln, effort.scale_ups).await?);
        kiln.stop().await?;
    }
    progress("containers that idle");
    let idle = special::idle(&ground, effort.idle_lanes).await?;
    progress("first calls");
    let cold = special::cold(&ground, !args.no_docker, effort.colds).await?;
    let report = Report {
        rows,
        steady,
        peaks,
        overload,
        idle,
        scale_up,
        cold,
    };
    if args.json {
        print(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&table(&report));
    }
    Ok(())
}

pub(crate) type Settings = Vec<(&'static str, &'static str)>;

pub(crate) fn ways(docker: bool) -> Vec<(&'static str, Settings)> {
    let mut ways = vec![("process", vec![("FN_LAUNCHER", "process")])];
    if docker {
        for way in ["link", "attach"] {
            ways.push((
                way,
                vec![("FN_LAUNCHER", "docker"), ("FN_DOCKER_STDIO", way)],
            ));
        }
    }
    ways
}

async fn subjects(ground: &Ground, effort: &Effort, docker: bool) -> anyhow::Result<Vec<Subject>> {
    let lanes = distinct(effort.cells.iter().map(|cell| cell.lanes));
    let sizes = distinct(effort.cells.iter().map(|cell| cell.bytes));
    let mut subjects = vec![subject::fixed(&sizes).await?, subject::proxy(ground).await?];
    for (name, settings) in ways(docker) {
        subjects.push(subject::kiln(name, ground, &settings, &lanes).await?);
    }
    Ok(subjects)
}

fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let set: std::collections::BTreeSet<_> = all.collect();
    set.into_iter().collect()
}

/// What `round` says, and what the machine did meanwhile; of several tries, of the one that others
/// disturbed least.
async fn undisturbed<T>(
    tries: usize,
    round: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Machine)> {
    let mut best: Option<(T, Machine)> = None;
    for _ in 0..tries {
        let before = Machine::now()?;
        let said = round().await?;
        let machine = before.until_now()?;
        let stolen = machine.percent_stolen();
        let least = best.as_ref().map(|(_, machine)| machine.percent_stolen());
        if least.is_none_or(|least| stolen < least) {
            best = Some((said, machine));
        }
        if stolen <= STOLEN {
            break;
        }
    }
    best.context("no round was asked for")
}

/// The subjects in turns, so that a busy moment hits all of them.
async fn measure(subjects: &[Subject], cell: Cell, effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let time = effort.round;
    let mut rounds: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    // How long it takes until there are enough containers is a figure of its own.
    let warm_up = match cell.lanes {
        Lanes::Scaled => time * 3,
        Lanes::These(_) => time / 2,
    };
    for subject in subjects {
        let call = subject.call(cell.bytes, cell.lanes)?;
        load::closed(&call, cell.connections, warm_up).await?;
    }
    for _ in 0..ROUNDS {
        for subject in subjects {
            let call = subject.call(cell.bytes, cell.lanes)?;
            let pid = subject.pid(cell.bytes);
            let round = async || {
                let before = process::cpu(pid)?;
                let outcome = load::closed(&call, cell.connections, time).await?;
                Ok((outcome, process::cpu(pid)?.saturating_sub(before)))
            };
            let ((outcome, server), machine) = undisturbed(effort.tries, round).await?;
            let figures = figures(&outcome, server, machine);
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
            cpu_of_proxy: figures.cpu_micros_per_call / proxy.cpu_micros_per_call,
        }
    });
    Ok(rows.collect())
}

/// In turns, too, and at the median of the rounds.
async fn steady(
    subjects: &[Subject],
    rows: &[Row],
    effort: &Effort,
) -> anyhow::Result<Vec<Steady>> {
    let mut rounds: BTreeMap<&str, Vec<(Outcome, Machine)>> = BTreeMap::new();
    let rate = |subject: &Subject| {
        let most = rows
            .iter()
            .filter(|row| row.subject == subject.name && row.cell.bytes == SMALL)
            .map(|row| row.figures.per_second);
        most.fold(0.0, f64::max) / 2.0
    };
    for _ in 0..ROUNDS {
        for subject in subjects {
            let call = subject.call(SMALL, EIGHT)?;
            let round = async || load::open(&call, 64, rate(subject), effort.round * 2).await;
            let outcome = undisturbed(effort.tries, round).await?;
            rounds.entry(subject.name).or_default().push(outcome);
        }
    }
    let quantile = |name: &str, quantile| {
        let all = rounds[name].iter();
        let all = all.map(|(outcome, _)| outcome.latency.value_at_quantile(quantile));
        let mut all: Vec<u64> = all.collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let proxy = quantile("proxy", 0.999);
    let steady = subjects.iter().map(|subject| {
        let name = subject.name;
        let p999_micros = quantile(name, 0.999);
        let stolen = rounds[name].iter().map(|(_, m)| m.percent_stolen());
        Steady {
            subject: name,
            per_second: rate(subject),
            p50_micros: quantile(name, 0.5),
            p99_micros: quantile(name, 0.99),
            p999_micros,
            p999_of_proxy: ratio(p999_micros, proxy),
            stolen_percent: median(&mut stolen.collect::<Vec<_>>()),
        }
    });
    Ok(steady.collect())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn figures(outcome: &Outcome, server: Duration, machine: Machine) -> Figures {
    let per_call = |time: Duration| time.as_secs_f64() * 1e6 / outcome.calls().max(1) as f64;
    Figures {
        per_second: outcome.per_second(),
        p50_micros: outcome.latency.value_at_quantile(0.5) as f64,
        p99_micros: outcome.latency.value_at_quantile(0.99) as f64,
        cpu_micros_per_call: per_call(server),
        machine_micros_per_call: per_call(machine.busy),
        stolen_percent: machine.percent_stolen(),
    }
}

fn medians(all: &[Figures]) -> Figures {
    let median = |of: fn(&Figures) -> f64| median(&mut all.iter().map(of).collect::<Vec<_>>());
    Figures {
        per_second: median(|f| f.per_second),
        p50_micros: median(|f| f.p50_micros),
        p99_micros: median(|f| f.p99_micros),
        cpu_micros_per_call: median(|f| f.cpu_micros_per_call),
        machine_micros_per_call: median(|f| f.machine_micros_per_call),
        stolen_percent: median(|f| f.stolen_percent),
    }
}

pub(crate) fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn table(report: &Report) -> String {
    use std::fmt::Write;
    let mut text = String::from(
        "| connections | body | containers | | calls/s | of the proxy | p50 us | of hyper | p99 us \
         | CPU us per call | of the proxy | of the machine | stolen % |\n\
         |--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    // Writing to a String cannot fail.
    for row in &report.rows {
        let (cell, figures) = (row.cell, row.figures);
        let lanes = match cell.lanes {
            Lanes::These(lanes) => lanes.to_string(),
            Lanes::Scaled => "scaled".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {:.2} | {:.0} | {:.2} | {:.0} | {:.1} | {:.2} | {:.1} \
             | {:.1} |",
            cell.connections,
            cell.bytes,
            lanes,
            row.subject,
            figures.per_second,
            row.of_proxy,
            figures.p50_micros,
            row.latency_of_hyper,
            figures.p99_micros,
            figures.cpu_micros_per_call,
            row.cpu_of_proxy,
            figures.machine_micros_per_call,
            figures.stolen_percent,
        );
    }
    text.push_str(
        "\nAt half of the most, 64 connections, from when a call was due:\n\n\
         | | calls/s | p50 us | p99 us | p99.9 us | of the proxy | stolen % |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for steady in &report.steady {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {} | {} | {:.2} | {:.1} |",
            steady.subject,
            steady.per_second,
            steady.p50_micros,
            steady.p99_micros,
            steady.p999_micros,
            steady.p999_of_proxy,
            steady.stolen_percent,
        );
    }
    text.push('\n');
    for peak in &report.peaks {
        let _ = writeln!(text, "{:<8} at most {} MB", peak.subject, peak.bytes >> 20);
    }
    text.push('\n');
    for overload in &report.overload {
        let _ = writeln!(text, "{overload}");
    }
    for scale_up in &report.scale_up {
        let _ = writeln!(text, "{scale_up}");
    }
    let _ = writeln!(text, "{}\n", report.idle);
    for cold in &report.cold {
        let _ = writeln!(text, "{cold}");
    }
    text
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "whoever waits wants to know for what")]
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}
