//! Client required: the lines of one container.

use std::pin::Pin;

use futures::stream::{BoxStream, StreamExt, unfold};
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;

use super::source::Source;
use crate::cmd::cluster::Cluster;

/// A longer line is broken: a program may print for ever without ending one.
const LONGEST: usize = 64 << 10;

/// Opens the log of a container.
pub(super) async fn open(
    cluster: &Cluster,
    source: &Source,
    params: &LogParams,
) -> anyhow::Result<BoxStream<'static, std::io::Result<Vec<u8>>>> {
    let params = LogParams { container: Some(source.container.clone()), ..params.clone() };
    let reader = cluster.call(cluster.api::<Pod>().log_stream(&source.pod, &params)).await?;
    Ok(lines(Box::pin(reader)))
}

fn lines<R>(reader: Pin<Box<R>>) -> BoxStream<'static, std::io::Result<Vec<u8>>>
where
    R: AsyncBufRead + Send + 'static,
{
    unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match line(&mut reader).await {
            Ok(Some(line)) => Some((Ok(line), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// The next line without its end, or as much of it as is shown in one piece.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(Some(line).filter(|line| !line.is_empty()));
        }
        let room = bytes.len().min(LONGEST - line.len());
        let end = bytes[..room].iter().position(|&byte| byte == b'\n');
        line.extend_from_slice(&bytes[..end.unwrap_or(room)]);
        reader.consume_unpin(end.map_or(room, |end| end + 1));
        if end.is_some() || line.len() >= LONGEST {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(text: &'static [u8]) -> Vec<usize> {
        lines(Box::pin(text)).map(|line| line.unwrap().len()).collect().await
    }

    #[tokio::test]
    async fn lines_are_lines_and_the_last_needs_no_end() {
        assert_eq!(of(b"one\n\ntwo\r\nx").await, [3, 0, 4, 1]);
        assert_eq!(of(b"").await, [0; 0]);
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_pieces() {
        let vast: &'static [u8] = Box::leak(vec![b'x'; LONGEST * 2 + 5].into_boxed_slice());
        assert_eq!(of(vast).await, [LONGEST, LONGEST, 5]);
    }
}
