use std::collections::HashMap;

use bollard::body_full;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};
use futures_util::{StreamExt as _, pin_mut};

use crate::build::engine::Engine;
use crate::build::error::BuildError;
use crate::build::plan::{Labels, Progress};

/// Says which images are ours, so that they can be found and cleaned up.
const LABEL: &str = "kiln.function";

/// Has the engine build the context `tar` and call the result `tag`.
pub(super) async fn build(
    engine: &Engine,
    tar: Vec<u8>,
    tag: &str,
    labels: &Labels,
    no_cache: bool,
    progress: &dyn Progress,
) -> Result<String, BuildError> {
    let options = options(tag, labels, no_cache);
    let answers = engine.build_image(options, None, Some(body_full(tar.into())));
    pin_mut!(answers);
    while let Some(answer) = answers.next().await {
        let info = answer.map_err(|error| BuildError::Image {
            message: engine_words(&error),
        })?;
        if let Some(detail) = info.error_detail {
            let message = detail.message.unwrap_or_default().trim().to_owned();
            return Err(BuildError::Image { message });
        }
        for line in info.stream.iter().flat_map(|text| text.lines()) {
            progress.line(line);
        }
    }
    Ok(tag.to_owned())
}

/// What an image that is on the engine says about itself.
pub async fn labels(engine: &Engine, image: &str) -> Result<Labels, BuildError> {
    let found = engine.inspect_image(image).await;
    let found = found.map_err(|error| BuildError::Image {
        message: engine_words(&error),
    })?;
    let labels = found.config.and_then(|config| config.labels);
    Ok(labels.unwrap_or_default().into_iter().collect())
}

fn options(tag: &str, labels: &Labels, no_cache: bool) -> BuildImageOptions {
    let name = tag.rsplit('/').next().unwrap_or(tag);
    let name = name.split(':').next().unwrap_or(name);
    let own = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let all: HashMap<&str, &str> = own.chain([(LABEL, name)]).collect();
    BuildImageOptionsBuilder::new()
        .dockerfile("Dockerfile")
        .t(tag)
        .rm(true)
        .forcerm(true)
        .nocache(no_cache)
        .labels(&all)
        .build()
}

/// What the engine said, without the client library's words around it.
pub(super) fn engine_words(error: &bollard::errors::Error) -> String {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Remembers all that it is told.
    #[derive(Default)]
    pub(in crate::build) struct Recorder(parking_lot::Mutex<String>);

    impl Recorder {
        pub(in crate::build) fn text(&self) -> String {
            self.0.lock().clone()
        }
    }

    impl Progress for Recorder {
        fn step(&self, text: &str) {
            self.line(text);
        }

        fn line(&self, text: &str) {
            let mut all = self.0.lock();
            all.push_str(text);
            all.push('\n');
        }
    }

    #[test]
    fn an_image_carries_the_name_of_its_function() {
        let own = [("fn.indexing".to_owned(), "true".to_owned())].into();
        let options = options("registry.example.com:5000/team/hello:0.0.1", &own, false);
        let labels = options.labels.unwrap();
        assert!(format!("{labels:?}").contains("hello"));
        assert!(format!("{labels:?}").contains("fn.indexing"));
        assert!(!format!("{labels:?}").contains("team"));
    }
}

#[cfg(all(test, feature = "docker-tests"))]
mod docker_tests {
    use super::tests::Recorder;
    use super::*;
    use crate::build::{context, engine};

    #[tokio::test]
    async fn a_program_becomes_an_image_of_its_own() {
        let docker = engine(None).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("p");
        std::fs::write(&program, "not a real program").unwrap();
        let tar = context::of_binary(&program, &[]).unwrap();
        let tag = "kiln-build-test/one:0.0.1";
        let recorder = Recorder::default();
        let built = build(&docker, tar, tag, &Labels::new(), false, &recorder)
            .await
            .unwrap();
        assert_eq!(built, tag);
        assert!(recorder.text().contains("FROM scratch"));
        let config = docker.inspect_image(tag).await.unwrap().config.unwrap();
        assert_eq!(config.entrypoint.unwrap(), ["/func"]);
        assert_eq!(config.labels.unwrap()[LABEL], "one");
        crate::build::remove_image(&docker, tag).await;
    }

    #[tokio::test]
    async fn the_engines_own_words_reach_the_caller() {
        let docker = engine(None).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tag = "kiln-build-test/two:0.0.1";
        for (dockerfile, words) in [
            ("FROM scratch\nCOPY nope /\n", "nope"),
            ("FRM scratch\n", "unknown instruction"),
        ] {
            std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
            let tar = context::of_folder(dir.path()).unwrap();
            let recorder = Recorder::default();
            let error = build(&docker, tar, tag, &Labels::new(), false, &recorder)
                .await
                .unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
