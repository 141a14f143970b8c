//! Programs that are measured, and what they used.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// The kernel counts processor time in hundredths of a second.
const TICK_MILLIS: u64 = 10;

/// A program that says where it listens. Ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts `command` and waits for the address that `find` takes from a line.
    pub(crate) async fn start(
        mut command: Command,
        find: impl Fn(&str) -> Option<&str>,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let stdout = child.stdout.take().context("its stdout")?;
        let stderr = child.stderr.take().context("its stderr")?;
        let address = tokio::select! {
            found = listening(stdout, &find) => found,
            found = listening(stderr, &find) => found,
        };
        let address = address.with_context(|| format!("{command:?} ended"))?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.pid().to_string();
        Command::new("kill").arg(pid).status().await?;
        tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await??;
        Ok(())
    }
}

/// What `command` writes to its stdout, once it has ended well.
pub(crate) async fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().await;
    let output = output.with_context(|| format!("{:?}", command.as_std()))?;
    ensure!(
        output.status.success(),
        "{:?} failed: {}\n{}",
        command.as_std(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// LLVM's `tool` as Debian names it, the newest first, and then plainly. Versions before these do not
/// know what this compiler's programs write, or what is asked of them here.
pub(crate) fn llvm_names(tool: &str) -> impl Iterator<Item = String> {
    let versions = (19..=40)
        .rev()
        .map(move |version| format!("{tool}-{version}"));
    versions.chain([tool.to_owned()])
}

/// Reads to the address, and on, in the background: nobody is to block on a full pipe.
async fn listening(
    output: impl AsyncRead + Unpin + Send + 'static,
    find: &impl Fn(&str) -> Option<&str>,
) -> Option<String> {
    let mut lines = BufReader::new(output).lines();
    loop {
        let Ok(Some(line)) = lines.next_line().await else {
            // The other one may say it.
            return std::future::pending().await;
        };
        if let Some(address) = find(&line) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(address.to_owned());
        }
    }
}

/// Processor time that a process has used, system time included.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name in its stat")?;
    // User and system time are the 14th and 15th field of the line, the 12th and 13th from here.
    fields.split(' ').skip(11).take(2).map(ticks).sum()
}

/// What became of the processors' time, all of them together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Machine {
    /// Was used, callers included.
    pub(crate) busy: Duration,
    idle: Duration,
    /// Was wanted, and went to another machine on the same host.
    stolen: Duration,
}

impl Machine {
    /// Since the machine started.
    pub(crate) fn now() -> anyhow::Result<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat")?)
    }

    fn of(stat: &str) -> anyhow::Result<Self> {
        let line = stat.lines().next().context("no line in /proc/stat")?;
        let mut times = Self::default();
        // proc_stat(5); what guests had, the last two of ten, is in the first two already.
        for (at, field) in line.split_ascii_whitespace().skip(1).take(8).enumerate() {
            let kind = match at {
                3 | 4 => &mut times.idle,
                7 => &mut times.stolen,
                _ => &mut times.busy,
            };
            *kind += ticks(field)?;
        }
        Ok(times)
    }

    /// Since `self`.
    pub(crate) fn until_now(self) -> anyhow::Result<Self> {
        let now = Self::now()?;
        Ok(Self {
            busy: now.busy.saturating_sub(self.busy),
            idle: now.idle.saturating_sub(self.idle),
            stolen: now.stolen.saturating_sub(self.stolen),
        })
    }

    /// How much of all of it was stolen, in hundredths.
    pub(crate) fn percent_stolen(self) -> f64 {
        let all = self.busy + self.idle + self.stolen;
        100.0 * self.stolen.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn ticks(field: &str) -> anyhow::Result<Duration> {
    Ok(Duration::from_millis(TICK_MILLIS * field.parse::<u64>()?))
}

/// Memory that a process has in use, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

/// The most that it ever had, in bytes.
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no such line in its status")?.parse::<u64>()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_another_machine_had_is_neither_busy_nor_idle() {
        let stat = "cpu  100 10 50 700 40 5 15 80 3 2\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let times = Machine::of(stat).unwrap();
        assert_eq!(times.busy, Duration::from_millis(1800));
        assert_eq!(times.idle, Duration::from_millis(7400));
        assert!((times.percent_stolen() - 8.0).abs() < 1e-9);
        // As of hundreds of processors after a year.
        assert!(Machine::of("cpu  0 0 0 2000000000000 0 0 0 0 0 0\n").is_ok());
        assert!(Machine::default().percent_stolen().abs() < 1e-9);
        assert!(Machine::of("").is_err());
    }
}
