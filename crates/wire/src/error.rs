use std::fmt;

/// Why bytes are not the message they should be.
///
/// `seen` fields hold the start of what was read, with unprintable bytes escaped, at most 200
/// bytes of it. The bytes after an error mean nothing: the connection has to be given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first bytes cannot start a message, as when a function prints to its stdout.
    #[error("not HTTP: read \"{seen}\"")]
    NotHttp {
        /// What was read instead.
        seen: String,
    },
    /// The head breaks the grammar of RFC 9112.
    #[error("bad head: {detail} in \"{seen}\"")]
    BadHead {
        /// The rule that was broken.
        detail: &'static str,
        /// The start of the head.
        seen: String,
    },
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    #[error("bad version: read \"{seen}\"")]
    BadVersion {
        /// The start of the head.
        seen: String,
    },
    /// The status is not a number from 100 to 599.
    #[error("bad status: read \"{seen}\"")]
    BadStatus {
        /// The start of the head.
        seen: String,
    },
    /// The head does not end within the limit.
    #[error("head longer than {limit} bytes")]
    HeadTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The request target does not end within the limit.
    #[error("request target longer than {limit} bytes")]
    TargetTooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// There are more header or trailer lines than allowed.
    #[error("more than {limit} headers")]
    TooManyHeaders {
        /// The bound, in lines.
        limit: usize,
    },
    /// A response declares neither a length nor chunks, so only the end of the stream would end it.
    #[error("neither content-length nor chunked transfer-encoding")]
    NoLength,
    /// Two content-length lines, or content-length beside transfer-encoding.
    #[error("conflicting body lengths")]
    ConflictingLength,
    /// The content-length is not a plain decimal number.
    #[error("bad content-length \"{value}\"")]
    BadLength {
        /// The value as read.
        value: String,
    },
    /// The transfer-encoding is something other than `chunked`.
    #[error("unsupported transfer-encoding \"{value}\"")]
    UnsupportedTransferEncoding {
        /// The value as read.
        value: String,
    },
    /// The chunk framing of a body is broken.
    #[error("bad chunk: {detail} in \"{seen}\"")]
    BadChunk {
        /// The rule that was broken.
        detail: &'static str,
        /// What was read there.
        seen: String,
    },
    /// The trailer section does not end within the limit.
    #[error("trailers longer than {limit} bytes")]
    TrailersTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The body is, or declares to be, longer than the limit.
    #[error("body longer than {limit} bytes")]
    BodyTooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// There are more 1xx responses than allowed and still no final one.
    #[error("more than {limit} interim responses")]
    TooManyInterim {
        /// The bound, in responses.
        limit: usize,
    },
    /// A 101 response: nobody asked to switch protocols.
    #[error("unexpected switch of protocols (status 101)")]
    UnexpectedUpgrade,
    /// The stream ended before the message did.
    #[error("stream ended {cut}")]
    Truncated {
        /// Where it ended.
        cut: Cut,
    },
}

impl DecodeError {
    /// As the message, but without any of what was read: that may be somebody else's.
    pub fn summary(&self) -> String {
        match self {
            Self::NotHttp { .. } => "not HTTP".to_owned(),
            Self::BadHead { detail, .. } => format!("bad head: {detail}"),
            Self::BadVersion { .. } => "bad version".to_owned(),
            Self::BadStatus { .. } => "bad status".to_owned(),
            Self::BadLength { .. } => "bad content-length".to_owned(),
            Self::UnsupportedTransferEncoding { .. } => "unsupported transfer-encoding".to_owned(),
            Self::BadChunk { detail, .. } => format!("bad chunk: {detail}"),
            Self::Truncated {
                cut: Cut::Head { .. },
            } => "stream ended within the head".to_owned(),
            Self::HeadTooLarge { .. }
            | Self::TooManyHeaders { .. }
            | Self::TargetTooLong { .. }
            | Self::NoLength
            | Self::ConflictingLength
            | Self::TrailersTooLarge { .. }
            | Self::BodyTooLarge { .. }
            | Self::TooManyInterim { .. }
            | Self::UnexpectedUpgrade
            | Self::Truncated { .. } => self.to_string(),
        }
    }
}

/// The place at which a stream ended too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Before any byte of the message, blank lines aside.
    Start,
    /// Within the head.
    Head {
        /// The start of the unfinished head, escaped.
        seen: String,
    },
    /// Within the body.
    Body {
        /// How many bytes of it were read.
        have: u64,
        /// How many were declared; `None` for a chunked body.
        want: Option<u64>,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("before the first byte"),
            Self::Head { seen } => write!(f, "within the head \"{seen}\""),
            Self::Body {
                have,
                want: Some(want),
            } => {
                write!(f, "after {have} of {want} body bytes")
            }
            Self::Body { have, want: None } => {
                write!(
                    f,
                    "after {have} bytes of a chunked body without its last chunk"
                )
            }
        }
    }
}

/// Enough to recognise a stray print; more would flood an error message.
const SEEN_BYTES: usize = 200;

/// The start of `bytes` in a form that is safe to print anywhere.
pub(crate) fn seen(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(SEEN_BYTES)]
        .escape_ascii()
        .to_string()
}
