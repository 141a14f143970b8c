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

/// Looks at eight bytes at a time: most of a head is text.
fn find_control(bytes: &[u8]) -> Option<usize> {
    const STEP: usize = 8;
    let mut words = bytes.chunks_exact(STEP);
    let mut at = 0;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        if may_hold_control(word) {
            let found = controls(word);
            if found != 0 {
                return Some(at + found.trailing_zeros() as usize / 8);
            }
        }
        at += STEP;
    }
    let rest = words.remainder();
    Some(at + rest.iter().position(|&byte| is_control(byte))?)
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Whether a byte of `word` may be one that [`is_control`]: a quicker question, to which most words
/// say no. A tab says yes, and so may a byte behind one that is a control.
fn may_hold_control(word: u64) -> bool {
    let delete = word ^ each(0x7f);
    let below_space = word.wrapping_sub(each(b' ')) & !word;
    let is_delete = delete.wrapping_sub(each(1)) & !delete;
    (below_space | is_delete) & each(0x80) != 0
}

/// The high bit of each byte that [`is_control`], and no other.
fn controls(word: u64) -> u64 {
    // No sum of two bytes carries into the next one.
    let zero = |word: u64| !(((word & each(0x7f)) + each(0x7f)) | word | each(0x7f));
    let below_space = zero(word & each(0xe0));
    (below_space & !zero(word ^ each(b'\t'))) | zero(word ^ each(0x7f))
}

/// Bytes that may not stand in a line (RFC 9110 section 5.5; a tab may).
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_beside_every_other_is_told_apart() {
        for one in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                for at in 0..8 {
                    let mut bytes = [other; 8];
                    bytes[at] = one;
                    let found = controls(u64::from_le_bytes(bytes));
                    let expected = bytes.map(|byte| u8::from(is_control(byte)) << 7);
                    assert_eq!(found, u64::from_le_bytes(expected), "{bytes:?}");
                    let may = may_hold_control(u64::from_le_bytes(bytes));
                    assert!(may || found == 0, "{bytes:?}");
                    let is_text = |byte: u8| byte >= b' ' && byte != 0x7f;
                    assert!(!(may && bytes.into_iter().all(is_text)), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_control_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(find_control(&bytes), None);
            for at in (0..length).rev() {
                bytes[at] = b'\r';
                assert_eq!(find_control(&bytes), Some(at));
            }
        }
    }
}
