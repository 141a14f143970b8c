//! The log: what a function writes to stderr, one line for each event, with the ids of its call.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// A longer line could be cut by who reads it, within a field.
const LINE_BYTES: usize = 60 << 10;

/// A line in the making: `level=INFO call_id=.. trace_id=.. msg="..."`.
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(level: &str, call_id: &str, trace_id: Option<&str>) -> Self {
        let mut line = Self(format!("level={level}"));
        for (name, id) in [("call_id", Some(call_id)), ("trace_id", trace_id)] {
            if let Some(id) = id.filter(|id| !id.is_empty()) {
                line.field(name, &id);
            }
        }
        line
    }

    /// Adds a field; a value that is more than one word is quoted.
    pub(crate) fn field(&mut self, name: &str, value: &dyn fmt::Display) {
        let start = self.0.len();
        let _ = write!(self.0, " {name}=");
        let value = value.to_string();
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
        if value.is_empty() || !value.chars().all(plain) {
            let _ = write!(self.0, "{value:?}");
        } else {
            self.0.push_str(&value);
        }
        if self.0.len() > LINE_BYTES {
            self.0.truncate(start);
            let _ = write!(self.0, " {name}=\"{} bytes left out\"", value.len());
        }
    }

    /// Writes the line, in one piece. If nobody reads the log there is nobody to tell.
    pub(crate) fn write(mut self) {
        self.0.push('\n');
        let _ = io::stderr().write_all(self.0.as_bytes());
    }
}

#[cfg(feature = "tracing")]
pub(crate) use self::events::{Scoped, install, scoped};

/// A call whose events are logged with its ids; without anybody to log them, nothing.
#[cfg(not(feature = "tracing"))]
pub(crate) struct Scoped;

#[cfg(not(feature = "tracing"))]
impl Scoped {
    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn of(_: &crate::call::Call) -> Self {
        Self
    }

    pub(crate) fn enter(&self) -> impl Sized + use<> {}
}

/// Lines out of the events of `tracing` and `log`.
#[cfg(feature = "tracing")]
mod events {
    use std::cell::RefCell;
    use std::fmt;

    use log::Log;
    use tracing_core::field::{Field, Visit};
    use tracing_core::span::{Attributes, Id, Record};
    use tracing_core::{Dispatch, Event, LevelFilter, Metadata, Subscriber, dispatcher};

    use super::Line;
    use crate::call::Call;
    use crate::layers::Next;

    thread_local! {
        /// The call that runs on this thread.
        static CURRENT: RefCell<Option<Call>> = const { RefCell::new(None) };
    }

    /// What is logged while `next` is polled is its call's.
    pub(crate) fn scoped(next: Next) -> Next {
        Next::new(move |call| {
            let kept = call.clone();
            let mut answer = {
                let _scope = Scope::enter(&kept);
                next.call(call)
            };
            Box::pin(std::future::poll_fn(move |cx| {
                let _scope = Scope::enter(&kept);
                answer.as_mut().poll(cx)
            }))
        })
    }

    /// A call whose events are logged with its ids.
    pub(crate) struct Scoped(Option<Call>);

    impl Scoped {
        pub(crate) fn none() -> Self {
            Self(None)
        }

        pub(crate) fn of(call: &Call) -> Self {
            Self(Some(call.clone()))
        }

        pub(crate) fn enter(&self) -> impl Sized + use<> {
            self.0.as_ref().map(Scope::enter)
        }
    }

    /// Takes the call away again, also when what it surrounds panics.
    struct Scope;

    impl Scope {
        fn enter(call: &Call) -> Self {
            CURRENT.set(Some(call.clone()));
            Self
        }
    }

    impl Drop for Scope {
        fn drop(&mut self) {
            CURRENT.take();
        }
    }

    fn line(level: &str, target: &str) -> Line {
        let mut line = CURRENT.with_borrow(|call| match call {
            Some(call) => Line::new(level, call.id(), call.trace_id()),
            None => Line::new(level, "", None),
        });
        line.field("target", &target);
        line
    }

    /// Makes lines of events from here on, unless the program has somebody else for that.
    pub(crate) fn install() {
        let wanted = std::env::var("RUST_LOG").unwrap_or_default();
        // What is said of single targets is for subscribers that know them.
        let mut levels = wanted
            .split(',')
            .map(str::trim)
            .filter(|level| !level.is_empty());
        let level = levels.find_map(|level| level.parse().ok());
        let level = level.unwrap_or(LevelFilter::INFO);
        let _ = dispatcher::set_global_default(Dispatch::new(Lines { level }));
        if log::set_boxed_logger(Box::new(Lines { level })).is_ok() {
            log::set_max_level(match level {
                LevelFilter::OFF => log::LevelFilter::Off,
                LevelFilter::ERROR => log::LevelFilter::Error,
                LevelFilter::WARN => log::LevelFilter::Warn,
                LevelFilter::INFO => log::LevelFilter::Info,
                LevelFilter::DEBUG => log::LevelFilter::Debug,
                _ => log::LevelFilter::Trace,
            });
        }
    }

    /// Only events: a function's spans are for subscribers that export them.
    struct Lines {
        level: LevelFilter,
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.is_event() && *metadata.level() <= self.level
        }

        fn max_level_hint(&self) -> Option<LevelFilter> {
            Some(self.level)
        }

        fn event(&self, event: &Event<'_>) {
            let metadata = event.metadata();
            let mut fields = Fields {
                line: line(metadata.level().as_str(), metadata.target()),
            };
            event.record(&mut fields);
            fields.line.write();
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            // None is enabled, so nobody asks which.
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Fields {
        line: Line,
    }

    impl Fields {
        fn put(&mut self, field: &Field, value: &dyn fmt::Display) {
            let name = match field.name() {
                "message" => "msg",
                other => other,
            };
            self.line.field(name, value);
        }
    }

    impl Visit for Fields {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.put(field, &value);
        }

        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.put(field, &format_args!("{value:?}"));
        }
    }

    impl Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            let mut line = line(record.level().as_str(), record.target());
            line.field("msg", record.args());
            line.write();
        }

        fn flush(&self) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_fields() {
        let mut line = Line::new("INFO", "01C9", None);
        line.field("msg", &"two\nlines \"quoted\" \u{1b}[31m");
        line.field("empty", &"");
        line.field("n", &7);
        line.field("long", &"x".repeat(LINE_BYTES));
        line.field("last", &"a=b");
        assert_eq!(
            line.0,
            "level=INFO call_id=01C9 msg=\"two\\nlines \\\"quoted\\\" \\u{1b}[31m\" empty=\"\" n=7 \
             long=\"61440 bytes left out\" last=\"a=b\""
        );
    }
}
