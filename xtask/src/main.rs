//! `cargo xtask bench`: how fast Kiln is, against what this machine can do in the same minute.

mod bench;
mod floor;
mod load;
mod process;
mod subject;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Xtask {
    /// Measures throughput and latency of Kiln beside two floors, and prints ratios.
    Bench(bench::Args),
    /// Serves as one of the floors; `bench` starts these itself.
    #[command(hide = true)]
    Floor {
        #[command(subcommand)]
        floor: Floor,
    },
}

#[derive(Subcommand)]
enum Floor {
    /// Answers everything with a body of so many bytes.
    Static { bytes: usize },
    /// Hands everything to the server at a unix socket.
    Proxy { upstream: std::path::PathBuf },
    /// Echoes every body, at a unix socket.
    Echo { socket: std::path::PathBuf },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Xtask::parse() {
        Xtask::Bench(args) => bench::run(args).await,
        Xtask::Floor { floor } => match floor {
            Floor::Static { bytes } => floor::serve_static(bytes).await,
            Floor::Proxy { upstream } => floor::serve_proxy(upstream).await,
            Floor::Echo { socket } => floor::serve_echo(&socket).await,
        },
    }
}
