//! Accepts connections from a listener, whatever errors it returns.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A source of connections.
pub(crate) trait Accept {
    type Stream;

    /// Returns the next connection. Safe to drop and call again.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        // An answer is one small write, and somebody's `kubectl apply` waits for it.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Returns the next connection, however long it takes.
///
/// An error of one connection (it was reset while it waited) is ignored. Any other, above all a lack of file
/// descriptors, would return immediately and make the loop spin: it waits, from 10 ms up to a second.
pub(crate) async fn next<A: Accept>(listener: &A, errors: &Counter) -> A::Stream {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) => {
                errors.inc();
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, ?pause, "no connection can be accepted, waiting");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput, NotConnected,
    };
    // `set_nodelay` on a socket that is gone is InvalidInput on some systems.
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | InvalidInput | NotConnected
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// Gives these results, the last first.
    struct Script(Mutex<Vec<io::Result<()>>>);

    impl Accept for Script {
        type Stream = ();

        async fn accept(&self) -> io::Result<()> {
            self.0.lock().unwrap().pop().unwrap()
        }
    }

    async fn after(error: fn() -> io::Error, times: usize) -> (Duration, u64) {
        let mut script = vec![Ok(())];
        script.extend((0..times).map(|_| Err(error())));
        let (begin, errors) = (Instant::now(), Counter::default());
        next(&Script(Mutex::new(script)), &errors).await;
        (begin.elapsed(), errors.get())
    }

    #[tokio::test(start_paused = true)]
    async fn without_file_descriptors_it_waits_longer_and_longer_and_goes_on() {
        const EMFILE: i32 = 24;
        let (waited, errors) = after(|| io::Error::from_raw_os_error(EMFILE), 9).await;
        assert_eq!(errors, 9);
        // 10 + 20 + 40 + ... + 640 ms, then a second each.
        assert_eq!(waited, Duration::from_millis(1270 + 2000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_again_is_passed_over_without_waiting() {
        let (waited, errors) = after(|| ErrorKind::ConnectionAborted.into(), 3).await;
        assert_eq!((waited, errors), (Duration::ZERO, 3));
    }
}
