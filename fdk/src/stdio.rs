//! Takes stdin and stdout away from the rest of the process.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// Private ends of the two pipes. Afterwards fd 1 is fd 2, so that prints are logs, and fd 0 is
/// empty, so that neither this process nor a child reads what is meant for us. Children do not
/// inherit the private ends.
pub(crate) fn take() -> io::Result<(File, File)> {
    let requests = io::stdin().as_fd().try_clone_to_owned()?;
    let responses = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    // An image from scratch may have no /dev; a readable stdin is then the lesser evil.
    if let Ok(null) = File::open("/dev/null") {
        rustix::stdio::dup2_stdin(&null)?;
    }
    Ok((requests.into(), responses.into()))
}
