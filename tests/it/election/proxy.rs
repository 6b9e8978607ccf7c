//! A network that can be cut: a TCP proxy that on demand keeps its connections and lets nothing through.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    swallows: watch::Sender<bool>,
    /// Ends with the proxy, and the connections with it.
    _task: JoinSet<()>,
}

impl Proxy {
    /// A proxy in front of a port of this machine.
    pub(crate) async fn new(upstream: u16) -> Self {
        Self::at(0, upstream).await
    }

    /// A proxy that listens at `port`.
    pub(crate) async fn at(port: u16, upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallows = watch::Sender::new(false);
        let (mut task, swallowing) = (JoinSet::new(), swallows.subscribe());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((down, _)) = listener.accept().await {
                let up = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                let ((down_read, down_write), (up_read, up_write)) = (down.into_split(), up.into_split());
                connections.spawn(pass(down_read, up_write, swallowing.clone()));
                connections.spawn(pass(up_read, down_write, swallowing.clone()));
            }
        });
        Self { port, swallows, _task: task }
    }

    pub(crate) fn swallow(&self, swallows: bool) {
        self.swallows.send_replace(swallows);
    }
}

/// Pass on what comes; what comes while the proxy swallows is gone for good, so that connection is dumb ever after.
async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, swallows: watch::Receiver<bool>) {
    let (mut buffer, mut dumb) = (vec![0; 16 << 10], false);
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        dumb |= *swallows.borrow();
        if !dumb && to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    if dumb {
        // Nor is its end told.
        std::future::pending::<()>().await;
    }
}
