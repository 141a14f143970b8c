/// Bounds on what a decoder accepts from its peer.
///
/// ```
/// let limits = wire::Limits { body_bytes: 10 * 1024 * 1024, ..wire::Limits::default() };
/// assert_eq!(limits.head_bytes, wire::Limits::HEAD_BYTES);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest head in bytes, from its first letter to its blank line.
    pub head_bytes: usize,
    /// The longest request target in bytes; only [`RequestWatch`](crate::RequestWatch) has a bound
    /// of its own for it.
    pub target_bytes: usize,
    /// The most header lines in a head, and the most trailer lines after a chunked body.
    pub headers: usize,
    /// The longest body in bytes, without its chunk framing.
    pub body_bytes: u64,
    /// The most 1xx responses before the final one.
    pub interim: usize,
    /// The longest trailer section in bytes; trailers are checked and dropped.
    pub trailer_bytes: usize,
    /// The most carriage returns and line feeds skipped before a message.
    pub leading_bytes: usize,
}

impl Limits {
    /// 64 KiB: what one pipe holds, and more than any function needs for its headers.
    pub const HEAD_BYTES: usize = 64 * 1024;
    /// 8 KiB: what RFC 9112 section 3 asks of servers, and other servers' usual bound.
    pub const TARGET_BYTES: usize = 8 * 1024;
    /// 256: more than any function needs; a head of thousands of lines is an attack.
    pub const HEADERS: usize = 256;
    /// 16: real servers send one or two; an endless run would keep a lane busy for nothing.
    pub const INTERIM: usize = 16;
    /// 8 KiB: trailers are dropped, so they only have to be small enough not to matter.
    pub const TRAILER_BYTES: usize = 8 * 1024;
    /// 64: an old FDK ends every body with a line feed that arrives as the start of the next
    /// response; a few of those are harmless, a stream of them is not.
    pub const LEADING_BYTES: usize = 64;
}

impl Default for Limits {
    /// The named constants, and no bound on the body: how much fits is the caller's to know.
    fn default() -> Self {
        Self {
            head_bytes: Self::HEAD_BYTES,
            target_bytes: Self::TARGET_BYTES,
            headers: Self::HEADERS,
            body_bytes: u64::MAX,
            interim: Self::INTERIM,
            trailer_bytes: Self::TRAILER_BYTES,
            leading_bytes: Self::LEADING_BYTES,
        }
    }
}
