use crate::error::seen;

/// Finds the end of one JSON object in a stream of them, however it is cut into reads.
///
/// It looks at strings and brackets only; whether what they hold is JSON is for a parser to say,
/// which then gets the whole object at once. White space before the object is skipped: old FDKs
/// end an object with a blank line.
///
/// ```
/// let mut scanner = wire::JsonScanner::new(1024);
/// assert_eq!(scanner.scan(b"\n{\"a\": \"}")?, None);
/// assert_eq!(scanner.scan(b"\n{\"a\": \"}\"}\n")?, Some(1..11));
/// # Ok::<(), wire::JsonError>(())
/// ```
#[derive(Debug, Clone)]
pub struct JsonScanner {
    limit: u64,
    /// Bytes looked at so far.
    at: usize,
    /// Where the object starts.
    start: Option<usize>,
    depth: u64,
    in_string: bool,
    escaped: bool,
}

/// Why bytes are not a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Something else stands where the object should start.
    #[error("not a JSON object: read \"{seen}\"")]
    NotAnObject {
        /// What was read instead, with unprintable bytes escaped, at most 200 bytes of it.
        seen: String,
    },
    /// The object does not end within the limit.
    #[error("object longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: u64,
    },
}

impl JsonScanner {
    /// For one object of at most `limit` bytes, the white space before it included.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            at: 0,
            start: None,
            depth: 0,
            in_string: false,
            escaped: false,
        }
    }

    /// Looks at what was added to `buf` since the last time; `buf` holds everything that was read
    /// since the scanner was made. Returns where the object is, once it is complete.
    ///
    /// # Errors
    ///
    /// The stream holds something else, or the object is too long. Nothing after that means
    /// anything.
    pub fn scan(&mut self, buf: &[u8]) -> Result<Option<std::ops::Range<usize>>, JsonError> {
        while let Some(&byte) = buf.get(self.at) {
            if self.at as u64 >= self.limit {
                return Err(JsonError::TooLong { limit: self.limit });
            }
            let here = self.at;
            self.at += 1;
            let Some(start) = self.start else {
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    b'{' => {
                        self.start = Some(here);
                        self.depth = 1;
                    }
                    _ => {
                        return Err(JsonError::NotAnObject {
                            seen: seen(&buf[here..]),
                        });
                    }
                }
                continue;
            };
            if self.step(byte) {
                return Ok(Some(start..self.at));
            }
        }
        Ok(None)
    }

    /// Whether the object has begun.
    pub fn started(&self) -> bool {
        self.start.is_some()
    }

    /// Takes one byte of the object; true if it is the last.
    fn step(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scanner's answer must not depend on where the reads were cut.
    fn scan(bytes: &[u8], limit: u64) -> Result<Option<std::ops::Range<usize>>, JsonError> {
        let mut all = JsonScanner::new(limit);
        let whole = all.scan(bytes);
        for cut in 0..=bytes.len() {
            let mut scanner = JsonScanner::new(limit);
            let first = scanner.scan(&bytes[..cut]);
            let answer = match first {
                Ok(None) => scanner.scan(bytes),
                other => other,
            };
            // A message quotes what was there when it was found.
            match (&whole, &answer) {
                (Err(JsonError::NotAnObject { .. }), Err(JsonError::NotAnObject { .. })) => {}
                _ => assert_eq!(answer, whole, "cut at {cut}"),
            }
        }
        whole
    }

    #[test]
    fn an_object_ends_with_its_last_bracket() {
        for (text, range) in [
            ("{}", 0..2),
            ("{}{}", 0..2),
            (" \r\n\t{\"a\":[1,{\"b\":2}]}\n\n", 4..21),
            (r#"{"a":"}\"}"}x"#, 0..12),
            (r#"{"a\\":"\\"}"#, 0..12),
            ("{\"ü\":\"}\"}", 0..10),
        ] {
            assert_eq!(scan(text.as_bytes(), 100), Ok(Some(range)), "{text}");
        }
    }

    #[test]
    fn an_object_that_goes_on_is_waited_for() {
        for text in ["", " ", "{", "{\"a\":\"}", r#"{"a":"\"}"#, "{[}"] {
            assert_eq!(scan(text.as_bytes(), 100), Ok(None), "{text}");
        }
    }

    // C1: what was printed instead is quoted.
    #[test]
    fn anything_else_is_quoted() {
        for text in ["hello", "[1]", "\"a\"", "\u{feff}{}", "1"] {
            let error = scan(text.as_bytes(), 100).unwrap_err();
            let JsonError::NotAnObject { seen } = &error else {
                panic!("{error}");
            };
            assert!(!seen.is_empty());
        }
    }

    #[test]
    fn length_is_bounded_to_the_byte() {
        assert_eq!(scan(b"{   }", 5), Ok(Some(0..5)));
        assert_eq!(scan(b"{   }", 4), Err(JsonError::TooLong { limit: 4 }));
        assert_eq!(scan(b"      ", 4), Err(JsonError::TooLong { limit: 4 }));
    }
}
