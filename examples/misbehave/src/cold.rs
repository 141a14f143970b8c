//! `format: default`: one call, all of stdin, all of stdout.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::request::Request;
use crate::{body, code, disturb, hang};

pub fn serve(out: &mut Option<File>) -> io::Result<()> {
    let url = std::env::var("FN_REQUEST_URL").unwrap_or_default();
    let method = std::env::var("FN_METHOD").unwrap_or_default();
    let mut request = Request::new(method, &url);
    if request.has("neverread") {
        hang();
    }
    if !request.has("early") {
        io::stdin().lock().read_to_end(&mut request.body)?;
    }
    disturb(&request, out)?;
    let (_, answer) = body::of(&request);
    if let Some(out) = out {
        out.write_all(&answer)?;
    }
    if request.has("short") {
        std::process::exit(code(&request));
    }
    if request.has("stall") {
        hang();
    }
    Ok(())
}
