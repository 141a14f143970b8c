//! What is told of decisions: a line for who follows them, a status for who asks.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::time::Instant;

use super::driver::Pool;
use super::scale::Decision;
use super::state::Counts;
use crate::model::{ScaleSample, ScaleStatus};

/// Takes lines about how functions are scaled.
pub trait ScaleLines: Debug + Send + Sync {
    /// Must not block for long: calls may wait for it.
    fn line(&self, line: &str);
}

/// Where decisions are written down.
#[derive(Clone, Debug)]
pub struct ScaleLog {
    pub lines: Arc<dyn ScaleLines>,
    /// Also those that change nothing.
    pub every: bool,
}

/// One decision; `counts` are those it was made from.
pub(super) fn line(
    (app, function): (&str, &str),
    mode: &str,
    counts: Counts,
    decision: &Decision,
) -> String {
    let Decision {
        want,
        vote,
        delta,
        reason,
    } = decision;
    let sign = if *delta > 0 { "+" } else { "" };
    format!(
        "fn={app}/{} mode={mode} have={} starting={} waiting={} running={} want={want} \
         vote={} delta={sign}{delta} reason=\"{reason}\"",
        function.trim_start_matches('/'),
        counts.busy + counts.idle,
        counts.starting,
        counts.waiting,
        counts.busy,
        vote.as_str(),
    )
}

impl Pool {
    /// What this pool has, should have, and why.
    pub async fn status(&self) -> ScaleStatus {
        let usage = self.usage().await;
        ScaleStatus {
            usage,
            ..self.decided()
        }
    }

    fn decided(&self) -> ScaleStatus {
        let now = Instant::now();
        let shortage = self.starts.shortage(self.tenant);
        let inner = self.inner.lock();
        let (state, counts) = (&inner.state, inner.state.counts());
        let last = state.last();
        let sample = |sample: &super::scale::Sample| ScaleSample {
            age: now.duration_since(sample.at),
            waiting: sample.waiting,
            running: sample.running,
            have: sample.have,
        };
        let failure = |until: Instant| {
            let failure = inner.failure.as_ref()?;
            Some((failure.to_string(), until.saturating_duration_since(now)))
        };
        ScaleStatus {
            mode: state.scaler().mode(),
            min: state.scaler().min(),
            max: state.scaler().max(),
            have: counts.busy + counts.idle,
            busy: counts.busy,
            idle: counts.idle,
            starting: counts.starting,
            waiting: counts.waiting,
            target: last.want,
            vote: last.vote.as_str(),
            reason: match shortage {
                Some(shortage) => format!("{}; {shortage}", last.reason),
                None => last.reason.to_string(),
            },
            failure: state.backing_off().and_then(failure),
            samples: state.scaler().samples().map(sample).collect(),
            usage: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::scale::{Held, Reason, Vote};

    #[test]
    fn a_line_has_all_that_a_decision_was_made_from() {
        let counts = Counts {
            busy: 1,
            waiting: 7,
            ..Counts::default()
        };
        let decision = Decision {
            want: 8,
            vote: Vote::Out,
            delta: 4,
            reason: Reason::Target {
                calls: 8,
                per: 1,
                held: Held::Step(4),
            },
        };
        assert_eq!(
            line(("a", "fib"), "target", counts, &decision),
            "fn=a/fib mode=target have=1 starting=0 waiting=7 running=1 want=8 vote=out delta=+4 \
             reason=\"8 calls / 1 per container, capped at 4 starts\""
        );
    }
}
