//! What is measured: the floors, and Kiln with each way to its functions.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::floor;
use crate::load::Call;
use crate::process::Server;

/// Where the release build of the server is.
const PROGRAM: &str = "target/release/fn";
/// Echoes what it gets.
const FUNCTION: &str = "examples/misbehave";

/// A server that echoes, or answers with as much.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A server for each size of bodies.
    Static(Vec<(usize, Server)>),
    /// The server, and the one that it passes everything to.
    Proxy(
        Server,
        #[expect(dead_code, reason = "ends with this")] tokio::process::Child,
    ),
    Kiln(Server),
}

impl Subject {
    /// The server that has the work of calls with `bytes` in their bodies.
    pub(crate) fn pid(&self, bytes: usize) -> u32 {
        match &self.kind {
            Kind::Static(servers) => {
                let of_size = servers.iter().find(|(size, _)| *size == bytes);
                of_size.map_or(0, |(_, server)| server.pid())
            }
            Kind::Proxy(server, _) | Kind::Kiln(server) => server.pid(),
        }
    }

    /// A call to it that at most `lanes` serve at once, where that is its own to say.
    pub(crate) fn call(&self, bytes: usize, lanes: usize) -> anyhow::Result<Call> {
        Ok(match &self.kind {
            Kind::Static(servers) => {
                let of_size = servers.iter().find(|(size, _)| *size == bytes);
                let (_, server) = of_size.context("no floor for this size")?;
                Call::new(&server.address, "/", bytes)
            }
            Kind::Proxy(server, _) => Call::new(&server.address, "/", bytes),
            Kind::Kiln(server) => {
                Call::new(&server.address, &format!("/t/bench/lanes{lanes}"), bytes)
            }
        })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.kind {
            Kind::Static(servers) => {
                for (_, server) in servers {
                    server.stop().await?;
                }
            }
            Kind::Proxy(server, _) | Kind::Kiln(server) => server.stop().await?,
        }
        Ok(())
    }
}

fn this_program(args: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor").args(args);
    Ok(command)
}

/// Answers by itself.
pub(crate) async fn fixed(sizes: &[usize]) -> anyhow::Result<Subject> {
    let mut servers = Vec::new();
    for size in sizes {
        let command = this_program(&["static", &size.to_string()])?;
        servers.push((*size, Server::start(command, floor::address).await?));
    }
    Ok(Subject {
        name: "hyper",
        kind: Kind::Static(servers),
    })
}

/// Passes every call on to a second server.
pub(crate) async fn proxy(folder: &Path) -> anyhow::Result<Subject> {
    let socket = folder.join("echo");
    let socket = socket.to_str().context("a path that is text")?;
    let upstream = this_program(&["echo", socket])?
        .kill_on_drop(true)
        .spawn()?;
    while !Path::new(socket).exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let server = Server::start(this_program(&["proxy", socket])?, floor::address).await?;
    Ok(Subject {
        name: "proxy",
        kind: Kind::Proxy(server, upstream),
    })
}

/// Kiln with `settings`, and a function for each number of `lanes`.
pub(crate) async fn kiln(
    name: &'static str,
    folder: &Path,
    settings: &[(&str, &str)],
    lanes: &[usize],
) -> anyhow::Result<Subject> {
    let mut command = Command::new(PROGRAM);
    command.args(["start", "--port", "0", "--data-dir"]);
    command
        .arg(folder.join(name))
        .envs(settings.iter().copied());
    let server = Server::start(command, address).await?;
    let url = format!("http://{}", server.address);
    let image = build(&url, folder).await?;
    let app = post(&url, "/v2/apps", &json!({ "name": "bench" })).await?;
    for lanes in lanes {
        let function = json!({
            "app_id": app["id"], "name": format!("lanes{lanes}"), "image": image,
            "format": "http", "memory": 64, "timeout": 60, "idle_timeout": 60,
            "annotations": { "kiln/scale": { "min": lanes, "max": lanes } },
        });
        let function = post(&url, "/v2/fns", &function).await?;
        let trigger = json!({
            "app_id": app["id"], "fn_id": function["id"], "name": function["name"],
            "type": "http", "source": format!("/lanes{lanes}"),
        });
        post(&url, "/v2/triggers", &trigger).await?;
    }
    Ok(Subject {
        name,
        kind: Kind::Kiln(server),
    })
}

/// Takes it from the line with which the server says that it is there.
fn address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("listens on http://")?;
    rest.split(' ').next()
}

async fn build(url: &str, folder: &Path) -> anyhow::Result<String> {
    let mut build = Command::new(PROGRAM);
    build.args(["build", FUNCTION]).env("FN_API_URL", url);
    let output = build.env("FN_DATA_DIR", folder).output().await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout)?;
    let (_, image) = said
        .trim()
        .rsplit_once("built: ")
        .context("the image's name")?;
    Ok(image.to_owned())
}

async fn post(url: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "--json", &body.to_string(), &format!("{url}{path}")]);
    let output = curl.output().await.context("curl")?;
    ensure!(
        output.status.success(),
        "{path}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
