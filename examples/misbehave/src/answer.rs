use std::fs::File;
use std::io::{self, Write};

use crate::request::Request;
use crate::{body, code, hang, pause};

/// How many bytes `short` and `stall` promise beyond what they send.
const MISSING: usize = 10;

/// Writes the answer, in one write unless the request asks for something else.
pub fn write(request: &Request, out: &mut File) -> io::Result<()> {
    if request.has("endless") || request.has("halves") {
        return stream(request, out);
    }
    let (content_type, body) = body::of(request);
    let mut answer = Vec::new();
    if request.has("head100") {
        answer.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        answer.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
    }
    compose(request, &content_type, &body, &mut answer)?;
    if request.has("newline") {
        answer.push(b'\n');
    }
    if request.has("extra") {
        answer.extend_from_slice(b"junk behind the answer");
    }
    if request.has("extra2") {
        compose(request, &content_type, b"a second answer", &mut answer)?;
    }
    if request.has("drip") {
        drip(&answer, request.number("ms").unwrap_or(1000), out)?;
    } else {
        out.write_all(&answer)?;
    }
    if request.has("short") {
        std::process::exit(code(request));
    }
    if request.has("stall") {
        hang();
    }
    if request.has("late") {
        write_late(request.number("ms").unwrap_or(50), out)?;
    }
    Ok(())
}

/// An answer that takes its time.
fn stream(request: &Request, out: &mut File) -> io::Result<()> {
    const PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
    const HALVES: [&[u8]; 2] = [b"first half ", b"second half"];

    let halves = request.has("halves");
    let length = if halves {
        HALVES.concat().len() as u64
    } else {
        request.number("n").unwrap_or(0)
    };
    let chunked = request.has("chunked");
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {length}")
    };
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}\r\n"
    )?;
    let id = request
        .header("fn_call_id")
        .or_else(|| request.header("fn-call-id"));
    write!(out, "Fn-Call-Id: {}\r\n\r\n", id.unwrap_or_default())?;
    let mut piece = |data: &[u8]| {
        if !chunked {
            return out.write_all(data);
        }
        let size = format!("{:x}\r\n", data.len());
        out.write_all(&[size.as_bytes(), data, b"\r\n"].concat())
    };
    if halves {
        piece(HALVES[0])?;
        pause(request.number("ms").unwrap_or(1000));
        piece(HALVES[1])?;
    }
    let mut left = if halves { 0 } else { length };
    while left > 0 {
        if request.has("dies") && left < length / 2 {
            std::process::exit(3);
        }
        let now = left.min(PIECE.len() as u64);
        piece(&PIECE[..usize::try_from(now).unwrap_or(0)])?;
        left -= now;
    }
    if chunked {
        out.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

fn compose(
    request: &Request,
    content_type: &str,
    body: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    let status = request
        .number("code")
        .filter(|_| request.has("status"))
        .unwrap_or(200);
    // Over a socket the status of HTTP says how the platform fared, a header how the function did.
    if request.listens() && !request.has("transport") {
        write!(
            answer,
            "HTTP/1.1 200 Misbehave\r\nFn-Http-Status: {status}\r\n\
             Fn-Http-H-X-Function: misbehave\r\nFn-Fdk-Version: misbehave/0\r\n"
        )?;
    } else {
        write!(answer, "HTTP/1.1 {status} Misbehave\r\n")?;
    }
    write!(answer, "Content-Type: {content_type}\r\n")?;
    if request.has("close") {
        answer.extend_from_slice(b"Connection: close\r\n");
    }
    match request
        .header("fn_call_id")
        .or_else(|| request.header("fn-call-id"))
    {
        _ if request.has("noecho") => {}
        _ if request.has("wrongid") => answer.extend_from_slice(b"Fn-Call-Id: not-yours\r\n"),
        Some(id) => write!(answer, "Fn-Call-Id: {id}\r\n")?,
        None => {}
    }
    if request.has("hops") {
        answer.extend_from_slice(
            b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
              Upgrade: h2c\r\nProxy-Authenticate: Basic\r\nTrailer: X\r\n\
              Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
        );
    }
    if request.has("bighead") {
        let length = request
            .number("n")
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0);
        write!(answer, "X-Big: {}\r\n", "x".repeat(length))?;
    }
    if request.has("manyheads") {
        for index in 0..request.number("n").unwrap_or(0) {
            write!(answer, "X-{index}: x\r\n")?;
        }
    }
    put_framing(request, status, body, answer)?;
    answer.extend_from_slice(b"\r\n");
    // Over a socket it is asked by POST and answers with 200, whatever it wants to tell the client.
    let bodiless =
        !request.listens() && (request.method == "HEAD" || matches!(status, 100..200 | 204 | 304));
    if bodiless && !request.has("forcebody") {
        return Ok(());
    }
    if request.has("chunked") {
        put_chunks(body, answer)
    } else {
        answer.extend_from_slice(body);
        Ok(())
    }
}

fn put_framing(
    request: &Request,
    status: u64,
    body: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    let length = body.len();
    if request.has("nolength") {
        Ok(())
    } else if request.has("short") || request.has("stall") {
        write!(answer, "Content-Length: {}\r\n", length + MISSING)
    } else if request.has("dupcl") {
        write!(
            answer,
            "Content-Length: {length}\r\nContent-Length: {length}\r\n"
        )
    } else if request.has("clte") {
        write!(
            answer,
            "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"
        )
    } else if request.has("chunked") {
        write!(answer, "Transfer-Encoding: chunked\r\n")
    } else if status == 204 && !request.listens() && !request.has("forcebody") {
        Ok(())
    } else {
        write!(answer, "Content-Length: {length}\r\n")
    }
}

fn put_chunks(body: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
    for chunk in body.chunks(1000) {
        write!(answer, "{:x}\r\n", chunk.len())?;
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    Ok(())
}

fn drip(answer: &[u8], millis: u64, out: &mut File) -> io::Result<()> {
    for byte in answer.chunks(1) {
        out.write_all(byte)?;
        pause(millis);
    }
    Ok(())
}

fn write_late(millis: u64, out: &File) -> io::Result<()> {
    let mut out = out.try_clone()?;
    std::thread::spawn(move || {
        pause(millis);
        let _ = out.write_all(b"late junk\n");
    });
    Ok(())
}
