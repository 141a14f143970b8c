//! Containers that do nothing but keep a network for a function's container to join.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, StartContainerOptions,
};
use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use super::engine::{is_missing, refused};
use super::launcher::DockerConfig;
use super::roster::{Place, Roster};
use super::settings;
use super::ward::DockerWard;
use crate::launcher::LaunchError;

/// The image is tagged by what is in it. No registry can have this name, so nobody can offer another
/// image in its place.
const REPOSITORY: &str = "kiln.invalid/hold";
/// The program's place in its image.
const PROGRAM: &str = "/hold";
/// The engine's least is 6 MB; the program itself uses a few pages.
const MEMORY: i64 = 8 << 20;
/// The program is one process; the engine's own, which becomes it, has some threads.
const PIDS: i64 = 16;

/// A container that sleeps until this is dropped.
#[derive(Debug)]
pub(super) struct Sleeper {
    docker: Docker,
    name: String,
    gone: AtomicBool,
    place: Arc<Place>,
    _ward: DockerWard,
}

impl Sleeper {
    /// Starts one in `network`, the engine's default if none is named.
    pub(super) async fn start(
        docker: &Docker,
        config: &DockerConfig,
        tasks: &TaskTracker,
        roster: &Arc<Roster>,
        network: Option<&str>,
    ) -> Result<Self, LaunchError> {
        let image = image(docker).await?;
        let name = format!("kiln-network-{}", ulid::Ulid::generate());
        let place = roster.enter(&name);
        let mut ward = DockerWard::new(docker.clone(), tasks.clone(), place, &name, None);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let body = create_body(config, image, &name, network);
        match docker.create_container(Some(options), body).await {
            Ok(created) => ward.created(created.id),
            Err(e) => return Err(refused("create a sleeping container", &e)),
        }
        docker
            .start_container(&name, None::<StartContainerOptions>)
            .await
            .map_err(|e| refused("start a sleeping container", &e))?;
        Ok(Self {
            docker: docker.clone(),
            name,
            gone: AtomicBool::new(false),
            place: ward.place(),
            _ward: ward,
        })
    }

    /// One that no engine knows.
    #[cfg(test)]
    pub(super) fn imagined(docker: &Docker, roster: &Arc<Roster>, name: &str) -> Self {
        let place = roster.enter(name);
        let mut ward = DockerWard::new(docker.clone(), TaskTracker::new(), place, name, None);
        ward.forget();
        Self {
            docker: docker.clone(),
            name: name.to_owned(),
            gone: AtomicBool::new(false),
            place: ward.place(),
            _ward: ward,
        }
    }

    /// What a container that shares its network gives as its own.
    pub(super) fn network_mode(&self) -> String {
        format!("container:{}", self.name)
    }

    /// Asks the engine whether it has ended. An engine that says nothing is no reason to think so.
    pub(super) async fn is_gone(&self) -> bool {
        let gone = match self.docker.inspect_container(&self.name, None).await {
            Ok(found) => found.state.is_none_or(|state| state.running != Some(true)),
            Err(error) => is_missing(&error),
        };
        self.gone.fetch_or(gone, Ordering::Relaxed);
        gone
    }

    /// Whether it was ever found to have ended, or the engine has been away since, which may have
    /// ended it.
    pub(super) fn may_be_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || self.place.missed_some()
    }
}

/// The reference of the image, which is made of the program if the engine has none.
async fn image(docker: &Docker) -> Result<String, LaunchError> {
    let program = link::hold().ok_or_else(|| LaunchError::Host {
        doing: "make a sleeping container on this platform",
        source: std::io::ErrorKind::Unsupported.into(),
    })?;
    let mut hash = String::new();
    for byte in &Sha256::digest(program)[..8] {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    let reference = format!("{REPOSITORY}:{hash}");
    match docker.inspect_image(&reference).await {
        Ok(_) => return Ok(reference),
        Err(e) if is_missing(&e) => {}
        Err(e) => return Err(refused("inspect the image", &e)),
    }
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(REPOSITORY)
        .tag(&hash);
    let root = root(program).map_err(|source| LaunchError::Host {
        doing: "pack the image of sleeping containers",
        source,
    })?;
    docker
        .create_image(
            Some(options.build()),
            Some(bollard::body_full(root.into())),
            None,
        )
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .map_err(|e| refused("import the image of sleeping containers", &e))?;
    Ok(reference)
}

/// An archive of all that the image holds.
fn root(program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o555);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, PROGRAM.trim_start_matches('/'), program)?;
    archive.into_inner()
}

/// It may do even less than a function.
fn create_body(
    config: &DockerConfig,
    image: String,
    name: &str,
    network: Option<&str>,
) -> ContainerCreateBody {
    let mut labels: HashMap<_, _> = settings::owner(config, name).into_iter().collect();
    labels.insert("kiln.role".to_owned(), "network".to_owned());
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec![PROGRAM.to_owned()]),
        user: Some("65534:65534".to_owned()),
        labels: Some(labels),
        host_config: Some(HostConfig {
            memory: Some(MEMORY),
            memory_swap: Some(MEMORY),
            pids_limit: Some(PIDS),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            network_mode: network.map(str::to_owned),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                config: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_holds_the_program_and_nothing_else() {
        let archive = root(b"program").unwrap();
        let mut archive = tar::Archive::new(&archive[..]);
        let files: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
        let [file] = &files[..] else {
            panic!("{} files", files.len());
        };
        assert_eq!(file.path().unwrap().to_str(), Some("hold"));
        assert_eq!(file.header().mode().unwrap(), 0o555);
    }
}
