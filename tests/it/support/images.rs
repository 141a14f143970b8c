//! The examples as images, built once per test run by `fn build` itself.

use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use super::{Backend, Gateway, run_cli};

/// A function of `examples/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Example {
    Hello,
    Raw,
    Misbehave,
    Manners,
}

impl Example {
    pub(crate) fn folder(self) -> PathBuf {
        let name = match self {
            Self::Hello => "hello",
            Self::Raw => "raw",
            Self::Misbehave => "misbehave",
            Self::Manners => "manners",
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name)
    }

    /// The reference of its image for `gateway`.
    pub(crate) async fn image(self, gateway: &Gateway) -> String {
        static BUILT: [[OnceCell<String>; 4]; 2] = [
            [const { OnceCell::const_new() }; 4],
            [const { OnceCell::const_new() }; 4],
        ];
        let kind = usize::from(gateway.backend() != Backend::Process);
        let cell = &BUILT[kind][self as usize];
        cell.get_or_init(|| self.build(gateway)).await.clone()
    }

    async fn build(self, gateway: &Gateway) -> String {
        let folder = self.folder();
        let output = run_cli(gateway, &["build", folder.to_str().unwrap()]).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.trim().rsplit_once("built: ").unwrap().1.to_owned()
    }
}

/// Deploys an example as its page says, to the app `a`.
pub(crate) async fn deploy(gateway: &Gateway, example: &str) {
    let folder = format!("{}/examples/{example}", env!("CARGO_MANIFEST_DIR"));
    let args = [
        "deploy",
        "--app",
        "a",
        "--create-app",
        "--local",
        "--no-bump",
        &folder,
    ];
    let deployed = run_cli(gateway, &args).await;
    assert!(deployed.status.success(), "{deployed:?}");
}
