use std::collections::BTreeMap;
use std::path::Path;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::{StreamExt as _, pin_mut};
use serde::Deserialize;

use crate::build::engine::Engine;
use crate::build::error::BuildError;
use crate::build::image::engine_words;
use crate::build::plan::Progress;

/// Docker's own registry goes by an old address in the file of log-ins.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The part of `~/.docker/config.json` that `docker login` writes.
#[derive(Deserialize, Default)]
struct LoginFile {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// Has the engine push `image`, as the person who is logged in below `docker_config_dir`.
pub async fn push(
    engine: &Engine,
    image: &str,
    docker_config_dir: Option<&Path>,
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    let failed = |message: String| BuildError::Push {
        image: image.to_owned(),
        message,
    };
    let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    let credentials = docker_config_dir
        .and_then(|dir| std::fs::read_to_string(dir.join("config.json")).ok())
        .and_then(|text| credentials(&text, registry(repository)));
    let options = PushImageOptionsBuilder::new().tag(tag).build();
    let answers = engine.push_image(repository, Some(options), credentials);
    pin_mut!(answers);
    while let Some(answer) = answers.next().await {
        let info = answer.map_err(|error| failed(engine_words(&error)))?;
        if let Some(status) = info.status {
            progress.line(&status);
        }
    }
    Ok(())
}

/// The host of an image's name; names without one belong to Docker's own registry.
fn registry(repository: &str) -> &str {
    match repository.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DOCKER_HUB,
    }
}

/// What `docker login` stored for `registry`. Logins kept by a helper program are not looked up.
fn credentials(text: &str, registry: &str) -> Option<DockerCredentials> {
    let mut file: LoginFile = serde_json::from_str(text).ok()?;
    let login = file
        .auths
        .remove(registry)
        .or_else(|| file.auths.remove(&format!("https://{registry}")))?;
    let decoded = base64(login.auth.as_deref().unwrap_or_default())?;
    let (user, password) = decoded.split_once(':').unwrap_or_default();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(DockerCredentials {
        username: given(user),
        password: given(password),
        identitytoken: login.identitytoken,
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    })
}

/// Text in the standard base64 alphabet (RFC 4648 section 4).
fn base64(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_of_the_images_registry_is_used() {
        let text = r#"{"auths":{
            "registry.example.com:5000":{"auth":"dXNlcjpwYTpzcw=="},
            "https://index.docker.io/v1/":{"auth":"aHViOng="}},"credsStore":"x"}"#;
        let own = credentials(text, registry("registry.example.com:5000/team/hello")).unwrap();
        assert_eq!(own.username.as_deref(), Some("user"));
        assert_eq!(own.password.as_deref(), Some("pa:ss"));
        let hub = credentials(text, registry("team/hello")).unwrap();
        assert_eq!(hub.username.as_deref(), Some("hub"));
        assert_eq!(credentials(text, "other.example.com"), None);
        assert_eq!(credentials("not json", DOCKER_HUB), None);
    }
}
