use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use crate::cli::manage::find_function;
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::session::Session;

#[derive(Debug, Args)]
#[command(after_help = "Example: fn scale demo greet --output json\n\
        What decides is the mapping scale of func.yaml.")]
pub(in crate::cli) struct Scale {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the function.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    function: String,
    #[command(flatten)]
    output: OutputFlag,
}

impl Scale {
    pub(in crate::cli) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let found = find_function(&session.api, &self.app, &self.function).await?;
        let parts = ["v2", "fns", &found.id, "scale"];
        let scale: Value = session.api.get(&parts, &[]).await?;
        show::object(self.output, &scale)
    }
}
