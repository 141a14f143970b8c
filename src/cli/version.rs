use crate::cli::output;
use crate::cli::session::Session;

pub(super) async fn run(session: &Session) -> anyhow::Result<()> {
    output::line(&format!("Client version:  {}", env!("CARGO_PKG_VERSION")))?;
    let server = session
        .api
        .version()
        .await
        .unwrap_or_else(|_| "?".to_owned());
    output::line(&format!("Server version:  {server}"))?;
    Ok(())
}
