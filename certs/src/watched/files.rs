//! Reads several files in one consistent version.

use std::io;
use std::path::Path;

use tokio::io::AsyncReadExt as _;

use crate::pair::Rejection;

/// Largest size of a Secret or a ConfigMap; a larger file is rejected.
const LARGEST: u64 = 1 << 20;

/// Reads them all from the directory that `..data` points to at this moment, or from `dir` itself without one.
///
/// Through the mounted names a swap between two reads would give files of two versions; through the resolved
/// directory it cannot. A writer in place can still be caught halfway, hence the second reading.
pub(crate) async fn read<const N: usize>(dir: &Path, names: [&str; N]) -> Result<[Vec<u8>; N], Rejection> {
    let once = read_once(dir, names).await?;
    let twice = read_once(dir, names).await?;
    if once == twice { Ok(once) } else { read_once(dir, names).await }
}

async fn read_once<const N: usize>(dir: &Path, names: [&str; N]) -> Result<[Vec<u8>; N], Rejection> {
    let data = dir.join("..data");
    let base = match tokio::fs::canonicalize(&data).await {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => dir.to_owned(),
        Err(source) => return Err(unreadable(&data, source)),
    };
    let mut contents = [const { Vec::new() }; N];
    for (name, content) in names.into_iter().zip(&mut contents) {
        let path = base.join(name);
        *content = bounded(&path).await.map_err(|source| unreadable(&path, source))?;
    }
    Ok(contents)
}

async fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    tokio::fs::File::open(path).await?.take(LARGEST + 1).read_to_end(&mut content).await?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(content)
}

fn unreadable(path: &Path, source: io::Error) -> Rejection {
    Rejection::Unreadable { path: path.display().to_string(), source }
}
