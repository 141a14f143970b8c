use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::build::error::BuildError;
use crate::build::ignore_file::IgnoreFile;

/// The context is held in memory; a folder beyond this has something in it by mistake.
const MAX_MIB: u64 = 1024;

type Tar = Builder<Vec<u8>>;

/// The context of an image that holds nothing but one static program.
pub(super) fn of_binary(binary: &Path, cmd: &[String]) -> Result<Vec<u8>, BuildError> {
    let mut dockerfile = "FROM scratch\nCOPY func /func\nENTRYPOINT [\"/func\"]\n".to_owned();
    if !cmd.is_empty() {
        let words = serde_json::Value::from(cmd);
        dockerfile = format!("{dockerfile}CMD {words}\n");
    }
    let content = fs::read(binary).map_err(BuildError::io("read", binary))?;
    let mut tar = Tar::new(Vec::new());
    for (name, content, mode) in [
        ("Dockerfile", dockerfile.as_bytes(), 0o644),
        ("func", content.as_slice(), 0o755),
    ] {
        // No time of its own: the same program gives the same image.
        let mut header = header(EntryType::Regular, content.len() as u64, mode, 0);
        tar.append_data(&mut header, name, content)
            .map_err(BuildError::io("pack", binary))?;
    }
    tar.into_inner().map_err(BuildError::io("pack", binary))
}

/// The folder `dir` without what its `.dockerignore` names.
pub(super) fn of_folder(dir: &Path) -> Result<Vec<u8>, BuildError> {
    let file = dir.join(".dockerignore");
    let ignored = match fs::read_to_string(&file) {
        Ok(text) => IgnoreFile::parse(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => IgnoreFile::default(),
        Err(error) => return Err(BuildError::io("read", &file)(error)),
    };
    let mut tar = Tar::new(Vec::new());
    add_folder(&mut tar, dir, Path::new(""), &ignored)?;
    tar.into_inner().map_err(BuildError::io("pack", dir))
}

fn add_folder(
    tar: &mut Tar,
    root: &Path,
    relative: &Path,
    ignored: &IgnoreFile,
) -> Result<(), BuildError> {
    let dir = root.join(relative);
    let entries: Result<Vec<_>, _> = fs::read_dir(&dir)
        .map_err(BuildError::io("read", &dir))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect();
    let mut names = entries.map_err(BuildError::io("read", &dir))?;
    // The order of a directory differs between machines, and the engine's cache sees the order.
    names.sort();
    for name in names {
        let relative = relative.join(name);
        let path = root.join(&relative);
        let meta = fs::symlink_metadata(&path).map_err(BuildError::io("read", &path))?;
        // The engine itself needs these two, whatever the file says.
        let needed = relative == Path::new("Dockerfile") || relative == Path::new(".dockerignore");
        let excluded = !needed && ignored.excludes(&relative, meta.is_dir());
        if !excluded {
            add(tar, &path, &relative, &meta)?;
        }
        if meta.is_dir() && (!excluded || ignored.has_exceptions()) {
            add_folder(tar, root, &relative, ignored)?;
        }
    }
    Ok(())
}

fn add(tar: &mut Tar, path: &Path, relative: &Path, meta: &fs::Metadata) -> Result<(), BuildError> {
    let mode = meta.permissions().mode() & 0o7777;
    let modified = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |age| age.as_secs());
    let kind = meta.file_type();
    let added = if kind.is_dir() {
        let mut header = header(EntryType::Directory, 0, mode, modified);
        tar.append_data(&mut header, relative, io::empty())
    } else if kind.is_symlink() {
        let mut header = header(EntryType::Symlink, 0, mode, modified);
        fs::read_link(path).and_then(|target| tar.append_link(&mut header, relative, target))
    } else if kind.is_file() {
        let content = fs::read(path).map_err(BuildError::io("read", path))?;
        if (tar.get_ref().len() + content.len()) as u64 > MAX_MIB * 1024 * 1024 {
            return Err(BuildError::ContextTooLarge { max_mib: MAX_MIB });
        }
        let mut header = header(EntryType::Regular, content.len() as u64, mode, modified);
        tar.append_data(&mut header, relative, content.as_slice())
    } else {
        // Sockets, pipes and devices have no place in an image.
        Ok(())
    };
    added.map_err(BuildError::io("pack", path))
}

/// Files belong to root in the image, whoever built it.
fn header(kind: EntryType, size: u64, mode: u32, modified: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(modified);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tar: &[u8]) -> Vec<String> {
        tar::Archive::new(tar)
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn a_folder_is_packed_in_order_without_what_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Dockerfile", "FROM scratch\n");
        write("src/main.rs", "fn main() {}\n");
        write("target/debug/x", "x");
        write("docs/keep.md", "x");
        write("docs/drop.md", "x");
        write(".git/HEAD", "x");
        std::os::unix::fs::symlink("src/main.rs", dir.path().join("link")).unwrap();
        write(".dockerignore", "target\ndocs\n!docs/keep.md\nDockerfile\n");
        let tar = of_folder(dir.path()).unwrap();
        assert_eq!(
            names(&tar),
            [
                ".dockerignore",
                ".git",
                ".git/HEAD",
                "Dockerfile",
                "docs/keep.md",
                "link",
                "src",
                "src/main.rs",
            ]
        );
    }

    #[test]
    fn one_program_makes_a_reproducible_context() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("p");
        fs::write(&program, "elf").unwrap();
        let tar = of_binary(&program, &["--a \"b\"".to_owned()]).unwrap();
        assert_eq!(names(&tar), ["Dockerfile", "func"]);
        assert_eq!(tar, of_binary(&program, &["--a \"b\"".to_owned()]).unwrap());
        let text = String::from_utf8_lossy(&tar);
        assert!(text.contains("FROM scratch\nCOPY func /func\nENTRYPOINT [\"/func\"]\n"));
        assert!(text.contains("CMD [\"--a \\\"b\\\"\"]\n"));
    }
}
