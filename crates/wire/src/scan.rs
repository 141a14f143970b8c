//! Finds the end of a block of CRLF lines, byte by byte and only once per byte.
//!
//! The parser behind it accepts bare line feeds; this scan does not, so it decides where a head
//! ends and the parser has to agree.

/// Why a block of lines cannot be valid, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Bad(&'static str),
    TooLong,
}

/// How far the block at the start of a buffer has been read.
#[derive(Debug, Default)]
pub(crate) struct BlockScan {
    at: usize,
    line: usize,
    lines: usize,
}

impl BlockScan {
    /// How many lines have ended so far.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// The length of the block with its blank line and the number of lines before that, once the
    /// blank line is there. Must be called with the same buffer each time, grown at its end.
    pub(crate) fn find_end(
        &mut self,
        buf: &[u8],
        limit: usize,
    ) -> Result<Option<(usize, usize)>, Flaw> {
        let window = &buf[..buf.len().min(limit)];
        while let Some(found) = find_control(&window[self.at..]) {
            let at = self.at + found;
            match (window[at], window.get(at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.at = at;
                    return incomplete(buf, limit);
                }
                (b'\r', Some(_)) => return Err(Flaw::Bad("bare carriage return")),
                // RFC 9112 section 2.2 lets a recipient accept this; two that differ on it can be
                // made to see two different messages.
                (b'\n', _) => return Err(Flaw::Bad("bare line feed")),
                (0, _) => return Err(Flaw::Bad("NUL byte")),
                _ => return Err(Flaw::Bad("control character")),
            }
            if at == self.line {
                return Ok(Some((at + 2, self.lines)));
            }
            self.lines += 1;
            self.at = at + 2;
            self.line = self.at;
        }
        self.at = window.len();
        incomplete(buf, limit)
    }
}

fn incomplete(buf: &[u8], limit: usize) -> Result<Option<(usize, usize)>, Flaw> {
    if buf.len() >= limit {
        Err(Flaw::TooLong)
    } else {
        Ok(None)
    }
}

/// Looks at a vector of bytes at a time, without branches within it: most of a head is text.
fn find_control(bytes: &[u8]) -> Option<usize> {
    const STEP: usize = 16;
    let clean = bytes
        .chunks_exact(STEP)
        .take_while(|step| {
            !step
                .iter()
                .fold(false, |found, &byte| found | is_control(byte))
        })
        .count();
    let at = clean * STEP;
    Some(at + bytes[at..].iter().position(|&byte| is_control(byte))?)
}

/// Bytes that may not stand in a line (RFC 9110 section 5.5; a tab may).
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}
