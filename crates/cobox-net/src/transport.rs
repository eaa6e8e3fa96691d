//! How the endpoint is set up: silent, with one TLS provider, small windows and few streams. The numbers were measured;
//! the tests below fail when an upgrade changes what lies beneath them.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{Builder, NetReportConfig, PortmapperConfig, QuicTransportConfig, VarInt, presets};
use iroh::{RelayMode, RelayUrl, SecretKey};
use iroh_mdns_address_lookup::{MdnsAddressLookup, MdnsAddressLookupBuilder};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::congestion::ByDistanceConfig;
use crate::lan::{Heard, Lan};
use crate::{ALPN, Config, Listen, NetError};

/// Block streams a peer may have open towards us, after it proved itself. More streams widen a long path (each has its own
/// window); more than these give nothing.
pub(crate) const BLOCK_STREAMS_MAX: u32 = 8;
/// Bytes a peer may send ahead on one stream: the library's default, never raised. Above 2.4 MB noq 1.4.0 kills a
/// connection whose reader lags ("too many gaps in stream buffer").
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1_250_000;
/// Bytes a peer may send ahead on all streams together. It covers every stream's own window, so that blocks nobody reads
/// cannot hold up control frames.
pub(crate) const WINDOW_BYTES: u32 = (BLOCK_STREAMS_MAX + 1) * STREAM_WINDOW_BYTES;
/// The same before the peer proved itself: a few small frames.
pub(crate) const WINDOW_BEFORE_AUTH_BYTES: u32 = 64 << 10;
/// Bytes sent and not yet acknowledged. More than the peer's windows allow, so that this bound never makes streams wait for
/// one another: the library serves such waiters last come, first served, and control frames would starve.
const SEND_WINDOW_BYTES: u64 = 16 << 20;
/// A peer that is silent so long is gone.
const IDLE_TIMEOUT_MS: u32 = 30_000;
/// How often we show that we are still here; also keeps the way through a NAT open.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The mDNS service name; not the library's own, so that we neither answer nor see its other users.
pub(crate) const LAN_SERVICE: &str = "cobox";

/// The TLS provider: aws-lc-rs, AES before ChaCha (which costs 40 % of the throughput where the processor has AES).
pub(crate) fn crypto_provider() -> CryptoProvider {
    let suites = [
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    CryptoProvider { cipher_suites: suites.to_vec(), ..aws_lc_rs::default_provider() }
}

/// The side of a connection, which decides who may open the control stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

/// What QUIC may do on one connection until the peer has proved itself.
pub(crate) fn quic_config(side: Side) -> QuicTransportConfig {
    let control_streams: u8 = match side {
        Side::Dialer => 0,
        Side::Acceptor => 1,
    };
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from(control_streams))
        .max_concurrent_uni_streams(VarInt::from(0u8))
        .stream_receive_window(VarInt::from(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from(WINDOW_BEFORE_AUTH_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(VarInt::from(IDLE_TIMEOUT_MS).into()))
        .keep_alive_interval(KEEP_ALIVE)
        .congestion_controller_factory(Arc::new(ByDistanceConfig))
        .build()
}

/// An endpoint that talks to nobody on its own, on `addr`.
/// Whom it hears in the local network, if it looks there, is noted in `heard`.
pub(crate) fn builder(
    config: &Config,
    addr: SocketAddr,
    secret_seed: &[u8; 32],
    heard: &Heard,
) -> Result<Builder, NetError> {
    let refused = |reason: String| NetError::Listen { addr, reason };
    let resolver = iroh::dns::DnsResolver::builder().with_system_defaults().disable_fallback().build();
    let mut builder = Builder::new(presets::Minimal)
        .crypto_provider(Arc::new(crypto_provider()))
        .secret_key(SecretKey::from_bytes(secret_seed))
        .alpns(vec![ALPN.to_vec()])
        .transport_config(quic_config(Side::Acceptor))
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .dns_resolver(resolver)
        .relay_mode(relay_mode(&config.relays)?)
        .clear_ip_transports()
        .bind_addr(addr)
        .map_err(|e| refused(e.to_string()))?;
    if let Listen::AllInterfaces { .. } = config.listen
        && addr.is_ipv4()
    {
        let twin = SocketAddr::from((Ipv6Addr::UNSPECIFIED, addr.port()));
        let optional = iroh::endpoint::BindOpts::default().set_is_required(false);
        builder = builder.bind_addr_with_opts(twin, optional).map_err(|e| refused(e.to_string()))?;
    }
    if config.lan_discovery {
        builder = builder.address_lookup(Lan { lookup: lan_lookup(), heard: heard.clone() });
    }
    Ok(builder)
}

/// Tells the local network where we are, and looks there for peers.
pub(crate) fn lan_lookup() -> MdnsAddressLookupBuilder {
    MdnsAddressLookup::builder().service_name(LAN_SERVICE)
}

/// Parses the address of a relay.
pub(crate) fn relay_url(relay: &str) -> Result<RelayUrl, NetError> {
    relay.parse().map_err(|_| NetError::BadRelay { relay: relay.to_owned() })
}

fn relay_mode(relays: &[String]) -> Result<RelayMode, NetError> {
    if relays.is_empty() {
        return Ok(RelayMode::Disabled);
    }
    let urls: Vec<RelayUrl> = relays.iter().map(|relay| relay_url(relay)).collect::<Result<_, _>>()?;
    Ok(RelayMode::custom(urls))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guard: everything an upgrade could change beneath our feet and that can be seen from here.
    #[test]
    fn an_endpoint_is_silent_unless_told_otherwise() {
        let addr = SocketAddr::from(([0, 0, 0, 0], 4242));
        let silent = format!("{:?}", builder(&Config::default(), addr, &[1; 32], &Heard::default()).unwrap());
        for setting in
            ["portmapper_config: Disabled", "https_probes: false", "captive_portal_check: false", "address_lookup: []"]
        {
            assert!(silent.contains(setting), "{setting} is not in {silent}");
        }
        assert!(!silent.contains("Relay {"), "a relay is configured: {silent}");

        let config = Config { relays: vec!["https://relay.example".into()], lan_discovery: true, ..Config::default() };
        let told = format!("{:?}", builder(&config, addr, &[1; 32], &Heard::default()).unwrap());
        assert!(told.contains("Relay {") && told.contains("relay.example") && !told.contains("n0"), "{told}");
        assert!(told.contains("Mdns") && told.contains("service_name: \"cobox\""), "{told}");
    }

    #[test]
    fn no_public_resolver_is_asked_when_the_system_has_none() {
        let builder = iroh::dns::DnsResolver::builder().disable_fallback();
        assert!(format!("{builder:?}").contains("Never"), "{builder:?}");
    }

    #[test]
    fn aes_comes_before_chacha_and_the_provider_is_aws_lc() {
        let provider = crypto_provider();
        let names: Vec<String> = provider.cipher_suites.iter().map(|s| format!("{:?}", s.suite())).collect();
        assert_eq!(names, ["TLS13_AES_256_GCM_SHA384", "TLS13_AES_128_GCM_SHA256", "TLS13_CHACHA20_POLY1305_SHA256"]);
    }

    #[test]
    fn windows_and_streams_are_what_was_measured() {
        let ours = format!("{:?}", quic_config(Side::Acceptor));
        for setting in [
            "stream_receive_window: 1250000",
            "receive_window: 65536",
            "max_concurrent_bidi_streams: 1",
            "max_concurrent_uni_streams: 0",
            "max_idle_timeout: Some(30000)",
            "enable_segmentation_offload: true",
        ] {
            assert!(ours.contains(setting), "{setting} is not in {ours}");
        }
        let theirs = format!("{:?}", QuicTransportConfig::default());
        assert!(theirs.contains("stream_receive_window: 1250000"), "the library's default moved: {theirs}");
    }

    #[test]
    fn a_new_release_of_the_transport_is_measured_before_it_is_used() {
        let lock = include_str!("../../../Cargo.lock");
        for (name, version) in [("iroh", "1.4.1"), ("noq-proto", "1.4.0"), ("iroh-mdns-address-lookup", "0.6.1")] {
            assert!(
                lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")),
                "{name} is no longer {version}: read its changes, check that it stays silent and that a lagging reader \
                 keeps its connection, then write the new version here"
            );
        }
    }
}
