use std::io::{self, BufRead, Read};

/// One request: its head in its bytes and as text, what its query asks for, its body.
pub struct Request {
    pub raw: Vec<u8>,
    head: String,
    pub method: String,
    flags: Vec<String>,
    values: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Reads a head up to its blank line; `None` at the end of stdin.
pub fn read_head(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    loop {
        let start = head.len();
        if input.read_until(b'\n', &mut head)? == 0 {
            return if start == 0 {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        match &head[start..] {
            b"\r\n" | b"\n" if start == 0 => head.clear(),
            b"\r\n" | b"\n" => break,
            _ => {}
        }
    }
    let raw = head;
    let head = String::from_utf8_lossy(&raw).into_owned();
    let mut line = head.split([' ', '\r']);
    let method = line.next().unwrap_or_default().to_owned();
    let target = line.next().unwrap_or_default().to_owned();
    let mut request = Request::new(method, &target);
    request.raw = raw;
    request.head = head;
    // A request over a socket is always to /call.
    if let Some(url) = request.header("fn-http-request-url").map(str::to_owned) {
        (request.flags, request.values) = parse_query(&url);
    }
    Ok(Some(request))
}

/// `?mode=a,b&c&d=1` asks for a, b and c, with d = 1.
fn parse_query(target: &str) -> (Vec<String>, Vec<(String, String)>) {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut flags = vec![];
    let mut values = vec![];
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            None => flags.push(part.to_owned()),
            Some(("mode", modes)) => flags.extend(modes.split(',').map(str::to_owned)),
            Some((name, value)) => values.push((name.to_owned(), value.to_owned())),
        }
    }
    (flags, values)
}

impl Request {
    /// A request without headers or body, yet.
    pub fn new(method: String, url: &str) -> Self {
        let (flags, values) = parse_query(url);
        Self {
            raw: vec![],
            head: String::new(),
            method,
            flags,
            values,
            body: vec![],
        }
    }

    /// Whether it came over a socket.
    pub fn listens(&self) -> bool {
        self.head.starts_with("POST /call ")
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.values
            .iter()
            .find(|(known, _)| known == name)?
            .1
            .parse()
            .ok()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn read_body(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        if self.header("transfer-encoding").is_some() {
            return self.read_chunks(input);
        }
        let length = self
            .header("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        if input.take(length).read_to_end(&mut self.body)? as u64 == length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn read_chunks(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            input.take(length).read_to_end(&mut self.body)?;
            input.read_line(&mut line)?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}
