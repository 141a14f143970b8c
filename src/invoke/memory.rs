//! What is remembered of calls: a record and a log for each, however it ended.

use std::sync::Arc;

use crate::invoke::Fault;
use crate::model::{Call, CallId, CallStatus, CallTarget, Callable, FinishedCall, Timestamp};
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
            syslog: Syslog::default(),
            max_log_bytes,
        }
    }

    /// Writes what is still to be written, within a bound.
    pub async fn close(&self) {
        tokio::join!(self.recorder.stop(), self.syslog.close());
    }
}

/// One call as it will be remembered. It is recorded when this is dropped; one that nobody
/// [`end`](Self::end)ed was cancelled by its caller.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    memory: Option<&'a Memory>,
    callable: &'a Arc<Callable>,
    id: CallId,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    status: CallStatus,
    fault: Option<Fault>,
    log: Vec<u8>,
}

impl<'a> Entry<'a> {
    pub(super) fn begin(
        memory: Option<&'a Memory>,
        callable: &'a Arc<Callable>,
        id: CallId,
    ) -> Self {
        Self {
            memory,
            callable,
            id,
            created_at: Timestamp::now(),
            started_at: None,
            status: CallStatus::Cancelled,
            fault: None,
            log: Vec::new(),
        }
    }

    /// How much of its log is kept.
    pub(super) fn log_limit(&self) -> usize {
        self.memory.map_or(0, |memory| memory.max_log_bytes)
    }

    /// A container has the call.
    pub(super) fn started(&mut self, at: Timestamp) {
        self.started_at = Some(at);
    }

    pub(super) fn log(&mut self, log: Vec<u8>) {
        self.log = log;
    }

    /// The function answered, or did not.
    pub(super) fn end<T>(&mut self, result: &Result<T, Fault>) {
        self.fault = result.as_ref().err().cloned();
        self.status = match &self.fault {
            None => CallStatus::Success,
            Some(Fault::TimedOut) => CallStatus::Timeout,
            Some(_) => CallStatus::Error,
        };
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let Some(memory) = self.memory else { return };
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
