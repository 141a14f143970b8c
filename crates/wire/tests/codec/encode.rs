use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use wire::{
    BodyLength, encode_chunk, encode_last_chunk, encode_request_head, encode_response_head,
};

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    fields.iter().map(field).collect()
}

fn request(method: &Method, target: &str, headers: &HeaderMap, length: BodyLength) -> String {
    let mut dst = BytesMut::new();
    encode_request_head(&mut dst, method, target, headers, &[], length);
    String::from_utf8(dst.to_vec()).expect("test heads are text")
}

fn response(status: u16, headers: &HeaderMap, length: BodyLength) -> String {
    let mut dst = BytesMut::new();
    let status = StatusCode::from_u16(status).expect("test statuses are valid");
    encode_response_head(&mut dst, status, headers, length);
    String::from_utf8(dst.to_vec()).expect("test heads are text")
}

#[test]
fn a_request_head_has_the_order_and_case_that_fn_wrote() {
    let headers = map(&[
        ("fn_request_url", "http://localhost:8080/r/myapp/hello?x=1"),
        ("fn_call_id", "01C9"),
        ("content-type", "application/json"),
        ("user-agent", "curl/7.54.0"),
        ("fn_method", "POST"),
        ("accept", "*/*"),
        ("fn_deadline", "2018-06-01T10:00:30.000Z"),
        ("host", "localhost:8080"),
    ]);
    assert_eq!(
        request(
            &Method::POST,
            "/r/myapp/hello?x=1",
            &headers,
            BodyLength::Known(12)
        ),
        "POST /r/myapp/hello?x=1 HTTP/1.1\r\n\
         Host: localhost:8080\r\n\
         User-Agent: curl/7.54.0\r\n\
         Content-Length: 12\r\n\
         Accept: */*\r\n\
         Content-Type: application/json\r\n\
         Fn_call_id: 01C9\r\n\
         Fn_deadline: 2018-06-01T10:00:30.000Z\r\n\
         Fn_method: POST\r\n\
         Fn_request_url: http://localhost:8080/r/myapp/hello?x=1\r\n\
         \r\n"
    );
}

#[test]
fn what_the_platform_says_replaces_what_the_caller_said() {
    let headers = map(&[("fn_method", "forged"), ("z", "1"), ("accept", "*/*")]);
    let own = [("fn_method", "POST"), ("fn_call_id", "01C9")];
    let mut dst = BytesMut::new();
    encode_request_head(
        &mut dst,
        &Method::GET,
        "/",
        &headers,
        &own,
        BodyLength::Empty,
    );
    assert_eq!(
        String::from_utf8(dst.to_vec()).unwrap(),
        "GET / HTTP/1.1\r\n\
         Content-Length: 0\r\n\
         Accept: */*\r\n\
         Fn_call_id: 01C9\r\n\
         Fn_method: POST\r\n\
         Z: 1\r\n\
         \r\n"
    );
}

#[test]
fn values_of_one_name_stay_in_their_order() {
    let headers = map(&[
        ("z", "2"),
        ("user-agent", "b"),
        ("accept", "y"),
        ("z", "1"),
        ("host", "h"),
        ("user-agent", "a"),
        ("accept", "x"),
        ("z", "3"),
    ]);
    assert_eq!(
        request(&Method::GET, "/", &headers, BodyLength::Empty),
        "GET / HTTP/1.1\r\n\
         Host: h\r\n\
         User-Agent: b\r\n\
         User-Agent: a\r\n\
         Content-Length: 0\r\n\
         Accept: y\r\n\
         Accept: x\r\n\
         Z: 2\r\n\
         Z: 1\r\n\
         Z: 3\r\n\
         \r\n"
    );
}

#[test]
fn a_request_always_says_how_long_its_body_is() {
    let none = HeaderMap::new();
    let get = |length| request(&Method::GET, "/", &none, length);
    assert_eq!(
        get(BodyLength::Empty),
        "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(
        get(BodyLength::Chunked),
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

// C12
#[test]
fn headers_cannot_change_the_framing() {
    let headers = map(&[
        ("content-length", "99"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("x-a", "b"),
    ]);
    assert_eq!(
        request(&Method::GET, "/", &headers, BodyLength::Known(3)),
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nX-A: b\r\n\r\n"
    );
    assert_eq!(
        response(200, &headers, BodyLength::Known(3)),
        "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
    );
}

// C12
#[test]
fn a_target_cannot_start_a_new_line() {
    let head = request(
        &Method::GET,
        "/a b\r\nX: y\u{e9}\u{0}",
        &HeaderMap::new(),
        BodyLength::Empty,
    );
    assert!(
        head.starts_with("GET /a%20b%0D%0AX:%20y%C3%A9%00 HTTP/1.1\r\n"),
        "{head}"
    );
    let head = request(&Method::GET, "", &HeaderMap::new(), BodyLength::Empty);
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
}

// C9, RFC 9110 section 8.6
#[test]
fn a_response_that_can_have_no_body_declares_no_length() {
    for status in [100, 103, 204, 304] {
        for length in [BodyLength::Empty, BodyLength::Known(5), BodyLength::Chunked] {
            let head = response(status, &HeaderMap::new(), length);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(head.lines().count(), 2, "{head}");
        }
    }
    let empty = response(404, &HeaderMap::new(), BodyLength::Empty);
    assert_eq!(empty, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn an_unknown_status_has_an_empty_reason() {
    let head = response(599, &HeaderMap::new(), BodyLength::Empty);
    assert!(head.starts_with("HTTP/1.1 599 \r\n"), "{head}");
}

#[test]
fn an_empty_chunk_does_not_end_the_body() {
    let mut dst = BytesMut::new();
    encode_chunk(&mut dst, b"");
    assert!(dst.is_empty());
    encode_chunk(&mut dst, b"0123456789abcdef!");
    encode_last_chunk(&mut dst);
    assert_eq!(dst, "11\r\n0123456789abcdef!\r\n0\r\n\r\n");
}

#[test]
fn repeated_headers_keep_their_order() {
    let mut headers = map(&[("x-b", "1"), ("set-cookie", "a")]);
    headers.append("set-cookie", HeaderValue::from_static("b"));
    assert_eq!(
        response(200, &headers, BodyLength::Empty),
        "HTTP/1.1 200 OK\r\nX-B: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"
    );
}
