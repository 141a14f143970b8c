//! Asked for its functions, it answers as its name says: `ix-NAME`, or the word after it.

use std::fs::File;
use std::io::{self, BufRead, Write};

use crate::{hang, request};

/// What an image of three functions declares.
const SHOP: &str = r#"{"fn_index":1,"runtime":{"name":"misbehave","fdk":"0"},"functions":[
    {"name":"add","memory":64},
    {"name":"fib","description":"counts","memory":64,
     "triggers":[{"name":"fib","type":"http","source":"/fib/{index:int}","methods":["GET"]}]},
    {"name":"resize","memory":64,"timeout":20,"streaming":true,
     "triggers":[{"name":"resize","type":"http","source":"/resize/{id:int}","methods":["POST"]},
                 {"name":"files","type":"http","source":"/files/{*rest}"}]}
],"errors":[]}"#;

/// A later version of the same: one is new, one is another, one is gone.
const LATER: &str = r#"{"fn_index":1,"functions":[
    {"name":"add","memory":64},
    {"name":"resize","memory":96,"timeout":20,
     "triggers":[{"name":"resize","source":"/resize/{id:int}","methods":["POST","PUT"]}]},
    {"name":"sub","memory":64}
]}"#;

/// Compiled in where one program is to be two versions of an image.
const COMPILED: Option<&str> = option_env!("MISBEHAVE_INDEX");

fn behaviour() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    if let Some(behaviour) = COMPILED {
        return behaviour.to_owned();
    }
    words.next().unwrap_or_else(|| {
        let name = program.rsplit('/').next().unwrap_or_default();
        let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
        name.trim_start_matches("ix-").to_owned()
    })
}

/// What could be talked to others by.
fn networks() -> String {
    let found = std::fs::read_dir("/sys/class/net").into_iter().flatten();
    let mut names: Vec<String> = found
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.join(" ")
}

fn body(behaviour: &str) -> String {
    let functions = match behaviour {
        "shop" => return SHOP.to_owned(),
        "later" => return LATER.to_owned(),
        "notjson" => return "hello".to_owned(),
        "future" => return r#"{"fn_index":2,"functions":[]}"#.to_owned(),
        "large" => return format!("{{\"fn_index\":1,\"x\":\"{}\"}}", "x".repeat(2 << 20)),
        "twice" => r#"{"name":"a"},{"name":"a","triggers":[]}"#,
        "badname" => r#"{"name":"1bad"}"#,
        "host" => r#"{"name":"host"}"#,
        "clash" => {
            r#"{"name":"one","triggers":[{"name":"x","source":"/a/{x}"}]},
               {"name":"two","triggers":[{"name":"y","source":"/a/{y}"}]}"#
        }
        "nomemory" => r#"{"name":"a","memory":0}"#,
        "much" => r#"{"name":"a","memory":99999},{"name":"b","memory":64}"#,
        "queue" => r#"{"name":"a","triggers":[{"name":"q","type":"queue","source":"/q"}]}"#,
        "needy" => r#"{"name":"a","expects":{"config":[{"name":"BUCKET","required":true}]}}"#,
        _ => r#"{"name":"a"}"#,
    };
    format!("{{\"fn_index\":1,\"functions\":[{functions}]}}")
}

/// Answers the one question there is.
pub fn serve(input: &mut impl BufRead, out: &mut File) -> io::Result<()> {
    let behaviour = behaviour();
    eprintln!("asked for the functions of {behaviour}");
    if behaviour == "exits" {
        eprintln!("networks: {}", networks());
        eprintln!("cannot find the rest of me");
        std::process::exit(3);
    }
    let Some(mut request) = request::read_head(input)? else {
        return Ok(());
    };
    request.read_body(input)?;
    let (status, kind) = match behaviour.as_str() {
        "silent" => hang(),
        "declines" => ("501 Not Implemented", "text/plain"),
        "plain" => ("200 OK", "text/plain"),
        _ => ("200 OK", "application/vnd.fn.index+json"),
    };
    if behaviour == "prints" {
        out.write_all(b"a stray print\n")?;
    }
    let body = body(&behaviour);
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )?;
    out.write_all(body.as_bytes())?;
    // The server closes stdin.
    while request::read_head(input)?.is_some() {}
    Ok(())
}
