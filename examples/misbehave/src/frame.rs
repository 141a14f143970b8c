//! `format: json` and `format: cloudevent`: a line of JSON in, an object out.

use std::fs::File;
use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

use crate::request::Request;
use crate::{body, code, disturb, hang, pause};

pub fn serve(out: &mut Option<File>) -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let call: Value = serde_json::from_str(&line).map_err(io::Error::other)?;
        line.clear();
        answer(&call, out)?;
    }
    Ok(())
}

fn answer(call: &Value, out: &mut Option<File>) -> io::Result<()> {
    let plain = call["data"].is_null() && call["eventID"].is_null();
    let protocol = if plain {
        &call["protocol"]
    } else {
        &call["extensions"]["protocol"]
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut request = Request::new(text(&protocol["method"]), &text(&protocol["request_url"]));
    request.body = match &call["data"] {
        _ if plain => text(&call["body"]).into_bytes(),
        Value::Null => vec![],
        Value::String(data) => data.clone().into_bytes(),
        data => data.to_string().into_bytes(),
    };
    if request.has("neverread") {
        hang();
    }
    disturb(&request, out)?;
    let Some(out) = out.as_mut().filter(|_| !request.has("garbage")) else {
        return Ok(());
    };
    let (_, content) = body::of(&request);
    let content = String::from_utf8_lossy(&content);
    let status = request
        .number("code")
        .filter(|_| request.has("status"))
        .unwrap_or(200);
    let mut headers = json!({ "X-Function": ["misbehave"] });
    if request.has("charlen") {
        headers["content-length"] = json!([content.chars().count().to_string()]);
    }
    let protocol = json!({ "status_code": status, "headers": headers });
    let mut frame = if plain {
        json!({ "body": content, "content_type": "text/plain", "protocol": protocol })
    } else {
        json!({ "contentType": "text/plain", "data": content,
                "extensions": { "protocol": protocol } })
    }
    .to_string();
    if request.has("extra2") {
        frame = format!("{frame}{frame}");
    }
    if request.has("extra") {
        frame.push_str("junk behind the answer");
    }
    if request.has("short") || request.has("stall") {
        frame.truncate(10);
    }
    // As fdk-ruby does.
    frame.push_str("\n\n");
    out.write_all(frame.as_bytes())?;
    if request.has("short") {
        std::process::exit(code(&request));
    }
    if request.has("stall") {
        hang();
    }
    if request.has("late") {
        pause(request.number("ms").unwrap_or(50));
        out.write_all(b"late junk\n")?;
    }
    Ok(())
}
