//! The hot loop without an FDK: what a function has to do in any language.

use std::io::{self, BufRead, Read, Write};

fn main() -> io::Result<()> {
    // One reader for the life of the process: a new one per request would lose what the old one
    // had read ahead.
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout().lock();
    while let Some(length) = read_head(&mut stdin)? {
        let mut body = vec![0; length];
        stdin.read_exact(&mut body)?;
        let text = format!("read {length} bytes\n");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
        stdout.write_all(answer.as_bytes())?;
        // Stdout may keep what does not end in a line feed, and the caller would wait for it.
        stdout.flush()?;
        // Stdout is the answer; logs go to stderr.
        eprintln!("answered a call");
    }
    Ok(())
}

/// Reads a request up to its blank line. Returns the length of the body that follows, or `None`
/// when the server has closed stdin and the function should end.
fn read_head(stdin: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stdin.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                return Ok(Some(length));
            }
            continue; // The request line.
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}
