use std::io;
use std::process::ExitCode;

use thiserror::Error;

use crate::build::{BuildError, EngineError};
use crate::cli::client::ClientError;
use crate::cli::output;
use crate::config::{ClientConfigError, ManifestError, SettingError};

/// Something a person got wrong or can put right; the message says what.
#[derive(Debug, Error)]
#[error("{message}")]
pub(super) struct Failure {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    code: u8,
}

/// The code of what could not be done for a reason that the message names.
pub(super) const EXPECTED: u8 = 1;

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            source: None,
            code: EXPECTED,
        }
    }

    pub(super) fn because(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Ends the command with another code than 1, for scripts.
    pub(super) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Prints an error with its causes and gives the exit code that it stands for.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Libraries repeat the words of their causes.
        if !causes.iter().any(|seen| seen.ends_with(&text)) {
            causes.push(text);
        }
    }
    let output = find::<BuildError>(error).and_then(BuildError::output);
    output::failure(&causes, output, hint(error).as_deref());
    ExitCode::from(code(error))
}

/// `fn list apps | head -1` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

pub(super) fn code(error: &anyhow::Error) -> u8 {
    const USAGE: u8 = 2;
    const INTERNAL: u8 = 70;
    // A setting is an argument that came by another way.
    if find::<SettingError>(error).is_some() {
        return USAGE;
    }
    if let Some(failure) = find::<Failure>(error) {
        return failure.code;
    }
    let expected = find::<ManifestError>(error).is_some()
        || find::<ClientConfigError>(error).is_some()
        || find::<BuildError>(error).is_some()
        || find::<EngineError>(error).is_some()
        || find::<ClientError>(error).is_some()
        || find::<io::Error>(error).is_some();
    if expected { EXPECTED } else { INTERNAL }
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(failure) = find::<Failure>(error) {
        return failure.hint.clone();
    }
    if let Some(error) = find::<ClientError>(error) {
        return Some(error.hint().to_owned());
    }
    if let Some(error) = find::<ClientConfigError>(error) {
        return context_hint(error).map(str::to_owned);
    }
    if let Some(ManifestError::NotFound { .. }) = find::<ManifestError>(error) {
        return Some("create a function with fn init --runtime rust NAME".to_owned());
    }
    find::<BuildError>(error)
        .and_then(BuildError::hint)
        .map(str::to_owned)
}

fn context_hint(error: &ClientConfigError) -> Option<&'static str> {
    match error {
        // These say what they expect.
        ClientConfigError::Setting(_) => None,
        ClientConfigError::NoContext { .. } => {
            Some("see fn list contexts, or make it with fn create context")
        }
        ClientConfigError::Exists { .. } => {
            Some("change it with fn --context NAME update context KEY VALUE")
        }
        ClientConfigError::InUse { .. } => {
            Some("use another one with fn use context, or none with fn unset context")
        }
        ClientConfigError::NoneInUse => Some("choose one with fn use context"),
        ClientConfigError::NoKey { .. } => Some("see fn inspect context"),
        ClientConfigError::NoHome => Some("set HOME, or name the server with FN_API_URL"),
        ClientConfigError::Syntax { .. } => Some("correct the file, or delete it"),
        ClientConfigError::Read { .. } | ClientConfigError::Write { .. } => {
            Some("see who may read and write the folder")
        }
    }
}

fn find<E: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_exit_code_tells_our_faults_from_those_of_others() {
        let expected = anyhow::Error::new(Failure::new("no app").hint("make one"));
        assert_eq!(
            (code(&expected), hint(&expected)),
            (1, Some("make one".to_owned()))
        );
        let wrapped = Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied))
            .context("cannot write func.yaml")
            .unwrap_err();
        assert_eq!(code(&wrapped), 1);
        assert_eq!(code(&anyhow::anyhow!("unforeseen")), 70);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(report(&gone), ExitCode::SUCCESS);
    }
}
