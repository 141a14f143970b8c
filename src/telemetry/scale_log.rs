use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// A file that has grown to this is put aside, and the one put aside before is deleted.
const MAX_BYTES: u64 = 8 << 20;

/// Lines about how functions are scaled, each with the time of day.
#[derive(Debug)]
pub struct ScaleLines(Option<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    path: PathBuf,
    file: File,
    written: u64,
}

impl ScaleLines {
    pub fn to_stderr() -> Self {
        Self(None)
    }

    /// Goes on with the file at `path`.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Ok(Self(Some(Mutex::new(Pages::open(path)?))))
    }

    /// Writes a line; one that cannot be written is lost.
    pub fn write(&self, line: &str) {
        let line = format!("{} {line}\n", crate::model::Timestamp::now());
        match &self.0 {
            None => drop(io::stderr().write_all(line.as_bytes())),
            Some(pages) => drop(pages.lock().write(&line)),
        }
    }
}

impl Pages {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            written: file.metadata()?.len(),
            path: path.to_owned(),
            file,
        })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.written > MAX_BYTES {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Self::open(&self.path)?;
        }
        self.written += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_bounded_and_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scale.log");
        ScaleLines::to_file(&path).unwrap().write("fn=a/f delta=+1");
        let again = ScaleLines::to_file(&path).unwrap();
        again.write("fn=a/f delta=-1");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("delta=+1\n") && text.contains("delta=-1\n"));
        for _ in 0..17 {
            again.write(&"x".repeat(1 << 20));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(fs::metadata(&path).unwrap().len() <= MAX_BYTES + (2 << 20));
    }
}
