//! What a table of throughput does not tell: first calls, many at once, too many, and none at all.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::bench::median;
use crate::load::{self, Call};
use crate::process;
use crate::subject::{Ground, Kiln, path};

/// How a function does that is called five times as often as it can answer.
#[derive(Serialize)]
pub(crate) struct Overload {
    subject: &'static str,
    /// With as many callers as containers.
    peak_per_second: f64,
    answered_per_second: f64,
    of_peak: f64,
    /// Of those that were sent away.
    refusal_p99_micros: u64,
    statuses: BTreeMap<u16, u64>,
}

/// Eight containers that take 10 ms for a call, and as many calls may wait.
pub(crate) async fn overload(
    subject: &'static str,
    kiln: &Kiln,
    time: Duration,
) -> anyhow::Result<Overload> {
    const LANES: usize = 8;
    /// So many that each waits for its answer for less time than lies between two of its calls.
    const CALLERS: usize = 256;
    let scale = json!({ "kiln/scale": { "min": LANES, "max": LANES, "max_waiting": LANES } });
    let id = kiln.function("slow", &scale).await?;
    kiln.until_idle(&id, LANES).await?;
    let call = Call::of_a_while(kiln.address(), &path("slow"), Duration::from_millis(10));
    let peak = load::closed(&call, LANES, time).await?.per_second();
    let seen = load::open(&call, CALLERS, 5.0 * peak, time).await?;
    Ok(Overload {
        subject,
        peak_per_second: peak,
        answered_per_second: seen.per_second(),
        of_peak: seen.per_second() / peak,
        refusal_p99_micros: seen.refusals.value_at_quantile(0.99),
        statuses: seen.statuses,
    })
}

/// Until what comes after a call is done.
const SETTLED: Duration = Duration::from_secs(1);

/// What containers cost that nobody calls.
#[derive(Serialize)]
pub(crate) struct Idle {
    lanes: usize,
    /// Before their first call.
    fresh_bytes_per_lane: u64,
    /// After each has had one.
    bytes_per_lane: u64,
    /// Of one processor, in thousandths.
    milli_cpu: f64,
}

/// On the process launcher, where nothing but the server has to do with them.
pub(crate) async fn idle(ground: &Ground, lanes: usize) -> anyhow::Result<Idle> {
    const WATCHED: Duration = Duration::from_secs(5);
    const FEW: usize = 8;
    let most = lanes.to_string();
    let settings = [("FN_LAUNCHER", "process"), ("FN_MAX_CONTAINERS", &most)];
    let kiln = Kiln::start("idle", ground, &settings).await?;
    // A server grows with as many callers, whoever serves them, and that is not the containers'.
    warm("few", &kiln, FEW).await?;
    all_at_once("few", &kiln, lanes, Duration::from_millis(5)).await?;
    let before = process::resident(kiln.pid())?;
    let held = || anyhow::Ok(process::resident(kiln.pid())?.saturating_sub(before));
    let id = warm("idle", &kiln, lanes).await?;
    let fresh = held()?;
    // So long that each of them gets one.
    all_at_once("idle", &kiln, lanes, Duration::from_millis(500)).await?;
    kiln.until_idle(&id, lanes).await?;
    let used = held()?;
    let cpu = process::cpu(kiln.pid())?;
    tokio::time::sleep(WATCHED).await;
    let cpu = process::cpu(kiln.pid())?.saturating_sub(cpu);
    kiln.stop().await?;
    let each = u64::try_from(lanes)?;
    Ok(Idle {
        lanes,
        fresh_bytes_per_lane: fresh / each,
        bytes_per_lane: used / each,
        milli_cpu: cpu.as_secs_f64() / WATCHED.as_secs_f64() * 1000.0,
    })
}

/// A function with so many containers that are there.
async fn warm(name: &str, kiln: &Kiln, lanes: usize) -> anyhow::Result<String> {
    let scale = json!({ "kiln/scale": { "min": lanes, "max": lanes } });
    let id = kiln.function(name, &scale).await?;
    kiln.until_idle(&id, lanes).await?;
    tokio::time::sleep(SETTLED).await;
    Ok(id)
}

/// So many first calls of as many callers, each of which keeps a container for this long.
async fn all_at_once(
    name: &str,
    kiln: &Kiln,
    callers: usize,
    time: Duration,
) -> anyhow::Result<()> {
    let call = Call::of_a_while(kiln.address(), &path(name), time);
    let all = (0..callers).map(|_| call.once());
    for (status, _) in try_join_all(all).await? {
        ensure!(status == 200, "status {status}");
    }
    tokio::time::sleep(SETTLED).await;
    Ok(())
}

/// How long it takes from no container to so many that are all busy.
#[derive(Serialize)]
pub(crate) struct ScaleUp {
    subject: &'static str,
    lanes: usize,
    /// The median of the turns.
    millis: f64,
}

/// Sixteen first calls at once; each keeps its container for longer than the others take to start.
pub(crate) async fn scale_up(
    subject: &'static str,
    kiln: &Kiln,
    turns: usize,
) -> anyhow::Result<ScaleUp> {
    const LANES: usize = 16;
    const BUSY: Duration = Duration::from_secs(3);
    let mut taken = Vec::new();
    for turn in 0..turns {
        let name = format!("up{turn}");
        let scale = json!({ "kiln/scale": { "max": LANES } });
        kiln.function(&name, &scale).await?;
        let call = Call::of_a_while(kiln.address(), &path(&name), BUSY);
        let all = try_join_all((0..LANES).map(|_| call.once())).await?;
        for (status, time) in &all {
            ensure!(*status == 200, "status {status} after {time:?}");
        }
        let last = all.iter().map(|(_, time)| *time).max();
        taken.push(millis(last.unwrap_or_default().saturating_sub(BUSY)));
    }
    Ok(ScaleUp {
        subject,
        lanes: LANES,
        millis: median(&mut taken),
    })
}

/// The first call of a function, on a server that has nothing else to do.
#[derive(Serialize)]
pub(crate) struct Cold {
    way: &'static str,
    millis: f64,
    of_docker_run: Option<f64>,
}

const DOCKER_RUN: &str = "docker run --rm, until it has ended";

/// All ways in turns, so that a busy moment hits all of them.
pub(crate) async fn cold(ground: &Ground, docker: bool, turns: usize) -> anyhow::Result<Vec<Cold>> {
    const PREPARED: &str = "FN_EXPERIMENTAL_PREFORK_POOL_SIZE";
    let mut ways = vec![("process launcher", vec![("FN_LAUNCHER", "process")], 0)];
    if docker {
        let with = |count| vec![("FN_LAUNCHER", "docker"), (PREPARED, count)];
        ways.push(("link, a network prepared", with("2"), 2));
        ways.push(("link, nothing prepared", with("0"), 0));
    }
    let mut servers = Vec::new();
    for (way, settings, prepared) in ways {
        let folder_name = format!("cold-{}", servers.len());
        let kiln = Kiln::start(&folder_name, ground, &settings).await?;
        servers.push((way, kiln, prepared));
    }
    let mut taken: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    // The first turn warms the disk's cache, and is not counted.
    for turn in 0..=turns {
        let mut row = Vec::new();
        if docker {
            let image = &servers[1].1.image;
            let (answered, ended) = docker_run(image).await?;
            row.push(("docker run, until its answer", answered));
            row.push((DOCKER_RUN, ended));
        }
        for (way, kiln, prepared) in &servers {
            if docker {
                until_quiet(&kiln.label()?, *prepared).await?;
            }
            let name = format!("cold{turn}");
            // Gone soon, so that the next turn has the engine for itself.
            let id = kiln.short_lived(&name).await?;
            let call = Call::new(kiln.address(), &path(&name), 200);
            let (status, time) = call.once().await?;
            ensure!(status == 200, "status {status} of {id}");
            row.push((*way, millis(time)));
        }
        for (way, millis) in row {
            if turn > 0 {
                taken.entry(way).or_default().push(millis);
            }
        }
    }
    for (_, kiln, _) in servers {
        kiln.stop().await?;
    }
    let mut medians: Vec<_> = taken
        .into_iter()
        .map(|(way, mut all)| (way, median(&mut all)))
        .collect();
    medians.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let run = medians.iter().find(|(way, _)| *way == DOCKER_RUN);
    let run = run.map(|(_, millis)| *millis);
    let rows = medians.iter().map(|(way, millis)| Cold {
        way,
        millis: *millis,
        of_docker_run: run.map(|run| millis / run),
    });
    Ok(rows.collect())
}

/// Waits until there is nothing but the networks that are prepared.
async fn until_quiet(label: &str, prepared: usize) -> anyhow::Result<()> {
    let quiet = async {
        loop {
            let mut list = Command::new("docker");
            list.args(["ps", "-a", "--filter", label, "--format", "{{.Status}}"]);
            let listed = String::from_utf8(list.output().await?.stdout)?;
            let up = listed
                .lines()
                .filter(|line| line.starts_with("Up "))
                .count();
            if up == prepared && listed.lines().count() == prepared {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), quiet).await;
    waited.context("containers of the turn before are still there")?
}

/// Milliseconds until the answer is there, and until the command has ended, which is what somebody
/// waits for who types it.
async fn docker_run(image: &str) -> anyhow::Result<(f64, f64)> {
    const CALL: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nAnn";
    let began = Instant::now();
    let mut command = Command::new("docker")
        .args(["run", "--rm", "-i", "-e", "FN_FORMAT=http", image])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = command.stdin.take().context("its stdin")?;
    let mut stdout = command.stdout.take().context("its stdout")?;
    stdin.write_all(CALL).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nAnn") {
        ensure!(stdout.read_buf(&mut answer).await? > 0, "docker run ended");
    }
    let answered = began.elapsed();
    drop(stdin);
    ensure!(command.wait().await?.success(), "docker run failed");
    Ok((millis(answered), millis(began.elapsed())))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl std::fmt::Display for Overload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<8} peak {:.0}/s; at five times that {:.0}/s ({:.2}), refusals p99 {} us, statuses",
            self.subject,
            self.peak_per_second,
            self.answered_per_second,
            self.of_peak,
            self.refusal_p99_micros,
        )?;
        for (status, calls) in &self.statuses {
            write!(f, " {status}: {calls}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} idle containers: {:.1} KB each before their first call, {:.1} KB after it, {:.1} \
             thousandths of a processor for all",
            self.lanes,
            self.fresh_bytes_per_lane as f64 / 1000.0,
            self.bytes_per_lane as f64 / 1000.0,
            self.milli_cpu
        )
    }
}

impl std::fmt::Display for ScaleUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (subject, lanes, millis) = (self.subject, self.lanes, self.millis);
        write!(
            f,
            "{subject:<8} from 0 to {lanes} busy containers: {millis:.0} ms"
        )
    }
}

impl std::fmt::Display for Cold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<36} {:>6.1} ms", self.way, self.millis)?;
        match self.of_docker_run {
            Some(ratio) => write!(f, " ({ratio:.2})"),
            None => Ok(()),
        }
    }
}
