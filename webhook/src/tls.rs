//! TLS configuration of the listener.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WantsServerCert};
use rustls::version::TLS13;
use rustls::{ConfigBuilder, ServerConfig, SupportedProtocolVersion};

use crate::callers::{CallerError, CallerMode, Callers, Verifier};

/// The choices behind a [`Tls`].
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The server's certificate. It is resolved at each handshake, so it can change at any time.
    pub identity: Arc<dyn ResolvesServerCert>,
    /// The oldest version spoken; 1.3 is preferred in any case.
    pub min_version: TlsVersion,
    /// Offer HTTP/2 besides HTTP/1.1. API servers speak HTTP/1.1 to webhooks that are Services.
    pub http2: bool,
    /// Asks callers for a certificate; none means that anyone may call.
    pub callers: Option<Callers>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// A complete, checked configuration of the listener.
///
/// The server reads it for each connection from a `tokio::sync::watch` channel, so that a new client CA, say, is
/// put in force by sending a new one; connections that are open stay as they are.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    /// Set where callers are let in whoever they are, and only written down.
    pub(crate) log: Option<Arc<Verifier>>,
}

/// Reason that a configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The crypto provider of this process lacks what the versions need.
    #[error("the crypto provider supports none of the TLS versions asked for")]
    Versions(#[source] rustls::Error),
    /// The client CA cannot be used.
    #[error(transparent)]
    Callers(#[from] CallerError),
}

impl Tls {
    /// Builds a configuration on the crypto provider of this process, or on ring if none is installed.
    ///
    /// Sessions are not resumed: API servers do not try, and a resumed session would skip the check of the caller.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let provider =
            CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(options.min_version.and_up())
            .map_err(TlsError::Versions)?;
        let (builder, log) = match options.callers {
            None => (builder.with_no_client_auth(), None),
            Some(callers) => with_callers(builder, &callers, provider)?,
        };
        let mut config = builder.with_cert_resolver(options.identity);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if options.http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(Self { config: Arc::new(config), log })
    }
}

static ONLY_V1_3: [&SupportedProtocolVersion; 1] = [&TLS13];

type Builder<State> = ConfigBuilder<ServerConfig, State>;

fn with_callers(
    builder: Builder<rustls::WantsVerifier>,
    callers: &Callers,
    provider: Arc<CryptoProvider>,
) -> Result<(Builder<WantsServerCert>, Option<Arc<Verifier>>), CallerError> {
    let verifier = Arc::new(Verifier::new(callers, provider)?);
    let log = (callers.mode == CallerMode::Log).then(|| Arc::clone(&verifier));
    Ok((builder.with_client_cert_verifier(verifier), log))
}

impl TlsVersion {
    fn and_up(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::V1_2 => rustls::ALL_VERSIONS,
            Self::V1_3 => &ONLY_V1_3,
        }
    }
}
