//! A directory as a Secret is mounted into a pod.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own below the system's for temporary files; it goes with this value.
#[derive(Debug)]
pub struct Mount {
    parent: PathBuf,
    version: AtomicU32,
}

/// Names and contents.
pub type Files<'a> = [(&'a str, &'a str)];

impl Mount {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let parent = std::env::temp_dir().join(format!("headworks-mount-{}-{number}", std::process::id()));
        let mount = Self { parent, version: AtomicU32::new(0) };
        fs::create_dir_all(mount.path())?;
        Ok(mount)
    }

    /// The directory.
    pub fn path(&self) -> PathBuf {
        self.parent.join("tls")
    }

    /// As kubelet's `AtomicWriter` does it: a new directory, then a rename over the symlink `..data`, then links to
    /// new files, then the old directory goes.
    #[cfg(unix)]
    pub fn swap(&self, files: &Files<'_>) -> io::Result<()> {
        use std::os::unix::fs::symlink;
        let (dir, data) = (self.path(), self.path().join("..data"));
        let before = fs::read_link(&data).ok();
        let name = format!("..version_{}", self.version.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(dir.join(&name))?;
        write(&dir.join(&name), files)?;
        symlink(&name, dir.join("..data_tmp"))?;
        fs::rename(dir.join("..data_tmp"), &data)?;
        for (file, _) in files {
            match symlink(Path::new("..data").join(file), dir.join(file)) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        before.map_or(Ok(()), |before| fs::remove_dir_all(dir.join(before)))
    }

    /// Writes the files in place.
    pub fn write(&self, files: &Files<'_>) -> io::Result<()> {
        write(&self.path(), files)
    }

    /// Writes each file elsewhere and renames it over.
    pub fn rename_over(&self, files: &Files<'_>) -> io::Result<()> {
        for (file, content) in files {
            fs::write(self.parent.join("new"), content)?;
            fs::rename(self.parent.join("new"), self.path().join(file))?;
        }
        Ok(())
    }
}

fn write(dir: &Path, files: &Files<'_>) -> io::Result<()> {
    files.iter().try_for_each(|(file, content)| fs::write(dir.join(file), content))
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        _ = fs::remove_dir_all(&self.parent);
    }
}
