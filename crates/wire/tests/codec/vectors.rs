//! Requests as every peer has to read them, the FDK included: its tests take this file, too.

use wire::BodyLength;

/// Name, input, body, surplus, declared length.
pub(crate) type Message<'a> = (&'a str, &'a [u8], &'a [u8], &'a [u8], BodyLength);

pub(crate) const REQUESTS: &[Message<'_>] = &[
    (
        "RFC 9112 6.3 item 7",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"",
        b"",
        BodyLength::Empty,
    ),
    (
        "explicit zero",
        b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"",
        b"",
        BodyLength::Known(0),
    ),
    (
        "A12: GET with a body",
        b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
        b"hi",
        b"",
        BodyLength::Known(2),
    ),
    (
        "A12: own method",
        b"BREW /pot HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
        b"hi",
        b"",
        BodyLength::Known(2),
    ),
    (
        "A12: HEAD with a body",
        b"HEAD / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
        b"hi",
        b"",
        BodyLength::Known(2),
    ),
    (
        "A11: pipelined",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\r\n\r\n",
        b"a",
        b"GET / HTTP/1.1\r\n\r\n",
        BodyLength::Known(1),
    ),
    (
        "chunked",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"hi",
        b"",
        BodyLength::Chunked,
    ),
    (
        "RFC 9112 2.2",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"",
        b"",
        BodyLength::Empty,
    ),
    (
        "A15: HTTP/1.0",
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na",
        b"a",
        b"",
        BodyLength::Known(1),
    ),
    (
        "absolute target",
        b"GET http://x/y?z HTTP/1.1\r\n\r\n",
        b"",
        b"",
        BodyLength::Empty,
    ),
    (
        "any target",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"",
        b"",
        BodyLength::Empty,
    ),
];
