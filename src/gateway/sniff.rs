//! The content type of a response that names none, guessed as Fn's clients expect it: from at
//! most its first 512 bytes (WHATWG MIME Sniffing, sections 5 and 7, in the subset that Fn's
//! functions meet).

use http::HeaderValue;

/// How much of a body decides.
const LOOK_AT: usize = 512;

const SIGNATURES: [(&[u8], &str); 8] = [
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"<?xml", "text/xml; charset=utf-8"),
];

const HTML_TAGS: [&[u8]; 8] = [
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<body",
    b"<script",
    b"<title",
    b"<div",
    b"<h1",
];

pub(super) fn content_type(body: &[u8]) -> HeaderValue {
    let start = &body[..body.len().min(LOOK_AT)];
    HeaderValue::from_static(guess(start))
}

fn guess(start: &[u8]) -> &'static str {
    // Fn's own rule, before all others.
    if start.first() == Some(&b'{') {
        return "application/json; charset=utf-8";
    }
    let text = start.trim_ascii_start();
    if HTML_TAGS.iter().any(|tag| starts_with_tag(text, tag)) {
        return "text/html; charset=utf-8";
    }
    if let Some((_, kind)) = SIGNATURES.iter().find(|(s, _)| start.starts_with(s)) {
        return kind;
    }
    // Without an early end, which is what lets many bytes be looked at at once.
    if start.iter().fold(false, |found, b| found | is_binary(*b)) {
        return "application/octet-stream";
    }
    "text/plain; charset=utf-8"
}

fn starts_with_tag(text: &[u8], tag: &[u8]) -> bool {
    text.len() > tag.len()
        && text[..tag.len()].eq_ignore_ascii_case(tag)
        && matches!(text[tag.len()], b' ' | b'>')
}

/// The standard's "binary data byte": control characters that no text holds.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_without_a_type_get_the_one_they_look_like() {
        for (body, kind) in [
            (&b"Hello"[..], "text/plain; charset=utf-8"),
            (b"{\"a\":1}", "application/json; charset=utf-8"),
            (b"[1]", "text/plain; charset=utf-8"),
            (b" <!DOCTYPE HTML><p>", "text/html; charset=utf-8"),
            (b"<html>", "text/html; charset=utf-8"),
            (b"<htmlx", "text/plain; charset=utf-8"),
            (b"\x89PNG\r\n\x1a\nrest", "image/png"),
            (b"a\0b", "application/octet-stream"),
            ("grüße".as_bytes(), "text/plain; charset=utf-8"),
            (b"\xff\xfe\x00", "application/octet-stream"),
        ] {
            assert_eq!(content_type(body), kind, "{}", body.escape_ascii());
        }
    }
}
