//! What is remembered of calls: a record and a log for each, however it ended.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::traffic::InFlight;
use crate::invoke::Fault;
use crate::launcher::Stderr;
use crate::model::{Call, CallId, CallStatus, CallTarget, Callable, FinishedCall, Timestamp};
use crate::pool::Lane;
use crate::store::Recorder;
use crate::telemetry::{Syslog, SyslogEntry};

/// Where calls are remembered. Nothing here ever waits.
#[derive(Debug)]
pub struct Memory {
    recorder: Recorder,
    syslog: Syslog,
    max_log_bytes: usize,
}

impl Memory {
    /// Keeps up to `max_log_bytes` of each call's log.
    pub fn new(recorder: Recorder, max_log_bytes: usize) -> Self {
        Self {
            recorder,
            syslog: Syslog::new(Handle::current()),
            max_log_bytes,
        }
    }

    /// Writes what is still to be written, within a bound.
    pub async fn close(&self) {
        tokio::join!(self.recorder.stop(), self.syslog.close());
    }
}

/// One call as it will be remembered. It is recorded when this is dropped; one that neither
/// [`succeed`](Self::succeed)ed nor [`fail`](Self::fail)ed was cancelled by its caller.
#[derive(Debug)]
pub(super) struct Entry {
    memory: Option<Arc<Memory>>,
    _in_flight: InFlight,
    callable: Arc<Callable>,
    id: CallId,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    status: CallStatus,
    fault: Option<Fault>,
    log: Vec<u8>,
    /// Where the log is while the call runs.
    source: Option<Arc<Stderr>>,
}

impl Entry {
    pub(super) fn begin(
        memory: Option<Arc<Memory>>,
        in_flight: InFlight,
        callable: &Arc<Callable>,
        id: CallId,
    ) -> Self {
        Self {
            memory,
            _in_flight: in_flight,
            callable: callable.clone(),
            id,
            created_at: id.made_at(),
            started_at: None,
            status: CallStatus::Cancelled,
            fault: None,
            log: Vec::new(),
            source: None,
        }
    }

    /// How much of its log is kept.
    fn log_limit(&self) -> usize {
        self.memory
            .as_ref()
            .map_or(0, |memory| memory.max_log_bytes)
    }

    /// The container behind `lane` has the call.
    pub(super) fn started(&mut self, at: Timestamp, lane: &mut Lane) {
        self.started_at = Some(at);
        self.source = Some(lane.begin_log(self.log_limit()));
    }

    /// The container is done with the call; whatever it logs from here on is not the call's.
    pub(super) fn take_log(&mut self) {
        if let Some(source) = self.source.take() {
            self.log = source.end_call();
        }
    }

    pub(super) fn log(&mut self, log: Vec<u8>) {
        self.log = log;
    }

    /// The function answered.
    pub(super) fn succeed(&mut self) {
        self.status = CallStatus::Success;
    }

    /// The function did not answer, or broke off.
    pub(super) fn fail(&mut self, fault: &Fault) {
        self.fault = Some(fault.clone());
        self.status = match fault {
            Fault::TimedOut => CallStatus::Timeout,
            Fault::CallerLeft => CallStatus::Cancelled,
            _ => CallStatus::Error,
        };
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else {
            return;
        };
        // Of a call that was abandoned.
        self.take_log();
        let log = std::mem::take(&mut self.log);
        if let Some(url) = &self.callable.syslog_url
            && !log.is_empty()
        {
            let entry = SyslogEntry {
                app: self.callable.app_name.clone(),
                function: self.callable.name.clone(),
                call_id: self.id,
                at: self.started_at.unwrap_or(self.created_at),
                log: log.clone(),
            };
            memory.syslog.send(url, entry);
        }
        let call = Call {
            id: self.id,
            app_id: self.callable.app_id,
            target: CallTarget::from(&self.callable.id),
            status: self.status,
            created_at: self.created_at,
            started_at: self.started_at,
            completed_at: Timestamp::now(),
            error: self.fault.as_ref().map(ToString::to_string),
            blame: self
                .fault
                .as_ref()
                .map(|fault| fault.blame().as_str().into()),
        };
        memory.recorder.record(FinishedCall { call, log });
    }
}
