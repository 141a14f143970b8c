//! What is measured: the floors, and Kiln with each way to its functions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::floor;
use crate::load::Call;
use crate::process::{Server, output};

/// Where servers are started, and of which program.
pub(crate) struct Ground {
    folder: PathBuf,
    program: PathBuf,
    /// What the program runs under, if anything.
    tool: Vec<String>,
}

impl Ground {
    pub(crate) fn new(folder: &Path, program: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            tool: Vec::new(),
        }
    }

    pub(crate) fn under(mut self, tool: &[&str]) -> Self {
        self.tool = tool.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    fn command(&self) -> Command {
        let Some((tool, args)) = self.tool.split_first() else {
            return Command::new(&self.program);
        };
        let mut command = Command::new(tool);
        command.args(args).arg(&self.program);
        command
    }
}

/// Echoes what it gets.
const FUNCTION: &str = "xtask/function";

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
    Kiln(Kiln),
}

impl Subject {
    /// The server that has the work of calls with `bytes` in their bodies.
    pub(crate) fn pid(&self, bytes: usize) -> u32 {
        match &self.kind {
            Kind::Static(servers) => {
                let of_size = servers.iter().find(|(size, _)| *size == bytes);
                of_size.map_or(0, |(_, server)| server.pid())
            }
            Kind::Proxy(server, _) => server.pid(),
            Kind::Kiln(kiln) => kiln.pid(),
        }
    }

    /// A call to it that at most `lanes` serve at once, where that is its own to say.
    pub(crate) fn call(&self, bytes: usize, lanes: Lanes) -> anyhow::Result<Call> {
        Ok(match &self.kind {
            Kind::Static(servers) => {
                let of_size = servers.iter().find(|(size, _)| *size == bytes);
                let (_, server) = of_size.context("no floor for this size")?;
                Call::new(&server.address, "/", bytes)
            }
            Kind::Proxy(server, _) => Call::new(&server.address, "/", bytes),
            Kind::Kiln(kiln) => Call::new(kiln.address(), &path(&lanes.name()), bytes),
        })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.kind {
            Kind::Static(servers) => {
                for (_, server) in servers {
                    server.stop().await?;
                }
                Ok(())
            }
            Kind::Proxy(server, _) => server.stop().await,
            Kind::Kiln(kiln) => kiln.stop().await,
        }
    }
}

/// How many containers a function has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Lanes {
    These(usize),
    /// As many as the scaler finds right.
    Scaled,
}

impl Lanes {
    fn name(self) -> String {
        match self {
            Self::These(lanes) => format!("lanes{lanes}"),
            Self::Scaled => "scaled".to_owned(),
        }
    }

    fn annotations(self) -> Value {
        match self {
            Self::These(lanes) => json!({ "kiln/scale": { "min": lanes, "max": lanes } }),
            Self::Scaled => json!({}),
        }
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
pub(crate) async fn proxy(ground: &Ground) -> anyhow::Result<Subject> {
    let socket = ground.folder.join("echo");
    let socket = socket.to_str().context("a path that is text")?;
    let upstream = this_program(&["echo", socket])?
        .kill_on_drop(true)
        .spawn()?;
    while !Path::new(socket).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let server = Server::start(this_program(&["proxy", socket])?, floor::address).await?;
    Ok(Subject {
        name: "proxy",
        kind: Kind::Proxy(server, upstream),
    })
}

/// Kiln with `settings`, and a function for each number of `lanes`, whose containers are there.
pub(crate) async fn kiln(
    name: &'static str,
    ground: &Ground,
    settings: &[(&str, &str)],
    lanes: &[Lanes],
) -> anyhow::Result<Subject> {
    let kiln = Kiln::start(name, ground, settings).await?;
    for lanes in lanes {
        let id = kiln.function(&lanes.name(), &lanes.annotations()).await?;
        if let Lanes::These(count) = lanes {
            kiln.until_idle(&id, *count).await?;
        }
    }
    Ok(Subject {
        name,
        kind: Kind::Kiln(kiln),
    })
}

/// The path to the function of that name.
pub(crate) fn path(name: &str) -> String {
    format!("/t/bench/{name}")
}

/// A server with an app, and functions that echo.
pub(crate) struct Kiln {
    server: Server,
    data: PathBuf,
    app: String,
    pub(crate) image: String,
}

impl Kiln {
    pub(crate) async fn start(
        name: &str,
        ground: &Ground,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let data = ground.folder.join(name);
        let mut command = ground.command();
        command.args(["start", "--port", "0", "--data-dir"]);
        command.arg(&data).envs(settings.iter().copied());
        let server = Server::start(command, address).await?;
        let url = format!("http://{}", server.address);
        let image = build(ground, &url).await?;
        let app = post(&url, "/v2/apps", &json!({ "name": "bench" })).await?;
        let app = app["id"].as_str().context("an app's id")?.to_owned();
        Ok(Self {
            server,
            data,
            app,
            image,
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The label that its containers have.
    pub(crate) fn label(&self) -> anyhow::Result<String> {
        let identity = std::fs::read_to_string(self.data.join("instance"))?;
        Ok(format!("label=kiln.instance={identity}"))
    }

    pub(crate) async fn function(&self, name: &str, annotations: &Value) -> anyhow::Result<String> {
        self.with(name, annotations, json!({})).await
    }

    /// A function whose containers end a second after their last call.
    pub(crate) async fn short_lived(&self, name: &str) -> anyhow::Result<String> {
        let settings = json!({ "idle_timeout": 1 });
        self.with(name, &json!({}), settings).await
    }

    /// A function of that format.
    pub(crate) async fn speaking(&self, format: &str) -> anyhow::Result<String> {
        let settings = json!({ "format": format });
        self.with(format, &json!({}), settings).await
    }

    /// With `settings` in the place of the usual ones.
    async fn with(
        &self,
        name: &str,
        annotations: &Value,
        settings: Value,
    ) -> anyhow::Result<String> {
        let url = format!("http://{}", self.address());
        let mut function = json!({
            "app_id": self.app, "name": name, "image": self.image, "format": "http",
            "memory": 16, "timeout": 60, "idle_timeout": 60,
        });
        for (key, value) in settings.as_object().into_iter().flatten() {
            function[key] = value.clone();
        }
        let function = post(&url, "/v2/fns", &function).await?;
        let id = function["id"].as_str().context("a function's id")?;
        let trigger = json!({
            "app_id": self.app, "fn_id": id, "name": name, "type": "http",
            "source": format!("/{name}"),
        });
        post(&url, "/v2/triggers", &trigger).await?;
        // Last, because a trigger changes what containers are told: those that are to be there
        // would be started twice, and the first of them removed during the measurement.
        let update = json!({ "annotations": annotations }).to_string();
        let function = format!("{url}/v2/fns/{id}");
        curl(&["-sSf", "-X", "PUT", "--json", &update, &function]).await?;
        Ok(id.to_owned())
    }

    /// Waits until a function has so many containers.
    pub(crate) async fn until_idle(&self, id: &str, count: usize) -> anyhow::Result<()> {
        let url = format!("http://{}/v2/fns/{id}/scale", self.address());
        let waited = async {
            loop {
                let scale = curl(&["-sSf", &url]).await?;
                if scale["idle"].as_u64() >= u64::try_from(count).ok() {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let limit = Duration::from_secs(120);
        let waited = tokio::time::timeout(limit, waited).await;
        waited.with_context(|| format!("{count} containers are not there after {limit:?}"))?
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

/// Takes it from the line with which the server says that it is there.
fn address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("listens on http://")?;
    rest.split(' ').next()
}

async fn build(ground: &Ground, url: &str) -> anyhow::Result<String> {
    let mut build = Command::new(&ground.program);
    build.args(["build", FUNCTION]).env("FN_API_URL", url);
    let said = output(build.env("FN_DATA_DIR", &ground.folder)).await?;
    let (_, image) = said
        .trim()
        .rsplit_once("built: ")
        .context("the image's name")?;
    Ok(image.to_owned())
}

async fn post(url: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    curl(&["-sSf", "--json", &body.to_string(), &format!("{url}{path}")]).await
}

async fn curl(args: &[&str]) -> anyhow::Result<Value> {
    let said = output(Command::new("curl").args(args)).await?;
    Ok(serde_json::from_str(&said)?)
}
