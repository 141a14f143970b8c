//! A gateway under test and what it takes to fill it.

#[cfg(feature = "docker-tests")]
mod engine;
mod gateway;
mod images;
mod indexed;
mod raw;

#[cfg(feature = "docker-tests")]
pub(crate) use engine::Engine;
pub(crate) use gateway::{Gateway, Reply, run_cli, run_cli_with};
pub(crate) use images::{Example, deploy};
pub(crate) use indexed::{Indexed, said};
pub(crate) use raw::{Answer, Raw};

/// What runs the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Process,
    #[cfg(feature = "docker-tests")]
    Link,
    #[cfg(feature = "docker-tests")]
    Attach,
}

impl Backend {
    pub(crate) fn is_docker(self) -> bool {
        self != Self::Process
    }

    /// As `/health` names it.
    pub(crate) fn stdio(self) -> &'static str {
        match self {
            Self::Process => "pipe",
            #[cfg(feature = "docker-tests")]
            Self::Link => "link",
            #[cfg(feature = "docker-tests")]
            Self::Attach => "attach",
        }
    }

    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Process => &[("FN_LAUNCHER", "process")],
            #[cfg(feature = "docker-tests")]
            Self::Link => &[("FN_LAUNCHER", "docker"), ("FN_DOCKER_STDIO", "link")],
            #[cfg(feature = "docker-tests")]
            Self::Attach => &[("FN_LAUNCHER", "docker"), ("FN_DOCKER_STDIO", "attach")],
        }
    }
}

/// Makes a test of each named scenario on each backend.
macro_rules! backends {
    ($($scenario:ident),+ $(,)?) => {
        mod process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::Backend::Process).await;
            })+
        }
        #[cfg(feature = "docker-tests")]
        mod link {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::Backend::Link).await;
            })+
        }
        #[cfg(feature = "docker-tests")]
        mod attach {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::Backend::Attach).await;
            })+
        }
    };
}
pub(crate) use backends;

/// How long anything may take that is waited for; generous, the machine may be busy.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Reads one answer that tells its length.
pub(crate) async fn read_answer(stream: &mut tokio::net::TcpStream) -> String {
    use tokio::io::AsyncReadExt;

    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "{:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("Content-Length: "));
        if length.is_none_or(|length| length == body.len().to_string()) {
            return text.into_owned();
        }
    }
}
