//! `cargo xtask bench`: how fast Kiln is, against what this machine can do in the same minute;
//! `cargo xtask count`: how much work a call is, against what it was; `cargo xtask pgo`: a build that
//! is faster.

mod bench;
mod count;
mod floor;
mod layout;
mod load;
mod pgo;
mod process;
mod special;
mod subject;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Xtask {
    /// Measures throughput and latency of Kiln beside two floors, and prints ratios.
    Bench(bench::Args),
    /// Counts the instructions of a call, and fails if they are more than recorded.
    Count(count::Args),
    /// Builds the server by what calls were seen to do, which makes it faster; takes a while.
    Pgo(pgo::Args),
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
        Xtask::Bench(args) => Box::pin(bench::run(args)).await,
        Xtask::Count(args) => count::run(args).await,
        Xtask::Pgo(args) => pgo::run(args).await,
        Xtask::Floor { floor } => match floor {
            Floor::Static { bytes } => floor::serve_static(bytes).await,
            Floor::Proxy { upstream } => floor::serve_proxy(upstream).await,
            Floor::Echo { socket } => floor::serve_echo(&socket).await,
        },
    }
}
