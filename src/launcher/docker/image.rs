//! Images: what a reference means, and fetching what is missing.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt;

use super::engine::{is_missing, refused};
use crate::launcher::{Image, LaunchError};

pub(super) async fn resolve(
    docker: &Docker,
    reference: &str,
    pull_timeout: Duration,
) -> Result<Image, LaunchError> {
    if reference.contains("://") {
        return Err(LaunchError::WrongKind(format!(
            "image '{reference}' is a program for the process launcher, but this gateway runs \
             containers; deploy the function again to build an image"
        )));
    }
    match docker.inspect_image(reference).await {
        Ok(found) => describe(reference, found),
        Err(e) if is_missing(&e) => {
            pull(docker, reference, pull_timeout).await?;
            let found = docker.inspect_image(reference).await;
            describe(
                reference,
                found.map_err(|e| refused("inspect the image", &e))?,
            )
        }
        Err(e) => Err(refused("inspect the image", &e)),
    }
}

fn describe(reference: &str, found: bollard::models::ImageInspect) -> Result<Image, LaunchError> {
    let config = found.config.unwrap_or_default();
    let mut command = config.entrypoint.unwrap_or_default();
    command.extend(config.cmd.unwrap_or_default());
    if command.is_empty() {
        return Err(LaunchError::NoCommand {
            image: reference.to_owned(),
        });
    }
    Ok(Image {
        reference: reference.to_owned(),
        id: found.id.unwrap_or_default(),
        command,
        volumes: config.volumes.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
    })
}

async fn pull(docker: &Docker, reference: &str, limit: Duration) -> Result<(), LaunchError> {
    tracing::info!(image = reference, "pulling");
    let failed = |status, reason: String| LaunchError::Pull {
        image: reference.to_owned(),
        status,
        reason,
    };
    let mut options = CreateImageOptionsBuilder::default().from_image(reference);
    // Without a tag the engine would fetch every tag there is.
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if !last.contains([':', '@']) {
        options = options.tag("latest");
    }
    let progress = docker.create_image(Some(options.build()), None, None);
    let pulled = progress.try_for_each(|_| std::future::ready(Ok(())));
    match tokio::time::timeout(limit, pulled).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Error::DockerResponseServerError {
            status_code,
            message,
        })) => Err(failed(Some(status_code), message.trim().to_owned())),
        Ok(Err(Error::DockerStreamError { error })) => Err(failed(None, error)),
        Ok(Err(e)) => Err(refused("pull the image", &e)),
        Err(_) => Err(failed(
            None,
            format!("not done within {} seconds", limit.as_secs()),
        )),
    }
}
