//! The listener: HTTP/1 on loopback, one task per connection, with a deadline for headers, a cap on connections, and a stop that
//! lets answers under way finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::service::Service;
use super::{Api, router};

/// How long a client may take to send the head of a request.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Connections at once: a few commands, a page with its event stream, scripts.
const CONNECTIONS_MAX: usize = 128;

/// Why the API can not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Only this machine may speak to the API.
    #[error("the API listens on this machine only, but {address} is reachable from others; use 127.0.0.1")]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The listener is broken.
    #[error("the API can not listen: {source}")]
    Listen {
        /// Why.
        source: io::Error,
    },
}

/// Serves the API until `shutdown`, which `POST down` triggers too; then answers what is under way and returns. The caller then
/// calls [`Service::shutdown`].
pub async fn serve(
    listener: TcpListener,
    token: Zeroizing<String>,
    service: Arc<dyn Service>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(|source| ServeError::Listen { source })?;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    let router = router(Api::new(service, token, address, shutdown.clone()));
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(stream) = accept(&listener, &shutdown).await {
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let app = TowerToHyperService::new(router.clone());
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_TIMEOUT)
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), app);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the API ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// The next connection; nothing once the service stops.
async fn accept(listener: &TcpListener, shutdown: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(error) => {
                // Out of file descriptors, most likely: they come back when something closes.
                tracing::warn!(%error, "the API can not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
