use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use crate::build::error::BuildError;
use crate::build::plan::Labels;

/// Digits of the content's hash in the file's name: enough that two builds never share a file.
const HASH_DIGITS: usize = 16;

/// What the labels of a program are in: a file beside it, where the process launcher looks.
const LABELS_SUFFIX: &str = ".labels.json";

/// Copies a program to `<data_dir>/bin/<name>-<hash>` and gives it back as an image reference.
///
/// The content is part of the name, so a running function never sees its file change.
pub(super) fn keep(
    binary: &Path,
    name: &str,
    labels: &Labels,
    data_dir: &Path,
) -> Result<String, BuildError> {
    let content = fs::read(binary).map_err(BuildError::io("read", binary))?;
    let bin_dir = data_dir.join("bin");
    fs::create_dir_all(&bin_dir).map_err(BuildError::io("create", &bin_dir))?;
    let file = bin_dir.join(format!("{name}-{}", hash(&content)));
    let reference = format!("file://{}", file.display());
    label(&file, labels)?;
    // The same build again is the same image; touching the file would make it another.
    if fs::read(&file).is_ok_and(|kept| kept == content) {
        return Ok(reference);
    }
    // Renamed into place: a file that is being executed cannot be written, and half a file must
    // not be startable.
    let partial = bin_dir.join(format!(".{name}-{}.partial", std::process::id()));
    fs::write(&partial, &content).map_err(BuildError::io("write", &partial))?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))
        .and_then(|()| fs::rename(&partial, &file))
        .map_err(BuildError::io("write", &file))?;
    Ok(reference)
}

/// Writes the labels of the program `file`, or sees that there are none.
fn label(file: &Path, labels: &Labels) -> Result<(), BuildError> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(LABELS_SUFFIX);
    let beside = Path::new(&beside);
    if labels.is_empty() {
        return match fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BuildError::io("remove", beside)(error))
            }
            _ => Ok(()),
        };
    }
    let json = serde_json::json!(labels).to_string();
    fs::write(beside, json).map_err(BuildError::io("write", beside))
}

fn hash(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in &Sha256::digest(content)[..HASH_DIGITS / 2] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_program_is_executable_and_named_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("program");
        fs::write(&source, "one").unwrap();
        let none = Labels::new();
        let first = keep(&source, "hello", &none, dir.path()).unwrap();
        let file = first.strip_prefix("file://").unwrap();
        assert!(file.ends_with("/bin/hello-7692c3ad3540bb80"), "{file}");
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o755
        );
        let labels = [("a.b".to_owned(), "true".to_owned())].into();
        assert_eq!(keep(&source, "hello", &labels, dir.path()).unwrap(), first);
        let beside = format!("{file}.labels.json");
        assert_eq!(fs::read_to_string(&beside).unwrap(), r#"{"a.b":"true"}"#);
        assert_eq!(keep(&source, "hello", &none, dir.path()).unwrap(), first);
        assert!(!fs::exists(&beside).unwrap());
        fs::write(&source, "two").unwrap();
        assert_ne!(keep(&source, "hello", &none, dir.path()).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path().join("bin")).unwrap().count(), 2);
    }
}
