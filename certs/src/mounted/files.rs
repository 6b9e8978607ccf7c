//! Both files of one moment.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    io,
    path::Path,
};

use super::MountedConfig;
use crate::Rejection;

/// Contents of the two files.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Files {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Files {
    /// For telling contents apart, not for security.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }
}

/// Reads both from the directory that `..data` points to at this moment, or from the directory itself without one.
///
/// Through the mounted names a swap between the two reads would give one file of each version; through the resolved
/// directory it cannot. A writer in place can still be caught halfway, hence the second reading.
pub(super) async fn read(config: &MountedConfig) -> Result<Files, Rejection> {
    let once = read_once(config).await?;
    let twice = read_once(config).await?;
    if once == twice { Ok(once) } else { read_once(config).await }
}

async fn read_once(config: &MountedConfig) -> Result<Files, Rejection> {
    let data = config.dir.join("..data");
    let base = match tokio::fs::canonicalize(&data).await {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => config.dir.clone(),
        Err(source) => return Err(unreadable(&data, source)),
    };
    let read = async |name: &str| {
        let path = base.join(name);
        tokio::fs::read(&path).await.map_err(|source| unreadable(&path, source))
    };
    Ok(Files { cert: read(&config.cert_file).await?, key: read(&config.key_file).await? })
}

fn unreadable(path: &Path, source: io::Error) -> Rejection {
    Rejection::Unreadable { path: path.display().to_string(), source }
}
