//! Where a peer is, and where to listen.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// Text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// Neither form.
    #[error("'{0}' is not an address: write unix:/path/of/socket or HOST:PORT")]
    Malformed(String),
    /// A relative path would depend on where the daemon was started.
    #[error("'{0}': the path of a socket must be absolute")]
    RelativePath(String),
    /// Listening needs to know now which interface it is.
    #[error("'{0}' is not a listen address: write unix:/path/of/socket or IP:PORT")]
    NotAnIp(String),
}

/// Where a peer is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerAddress {
    /// A Unix socket. Text form: "unix:/path", or the path alone.
    Unix(PathBuf),
    /// A host name or IP (IPv6 in brackets) and port. Text form: "HOST:PORT".
    Tcp {
        /// Name or IP literal, brackets kept.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
}

fn unix_path(text: &str) -> Option<Result<PathBuf, ParseAddressError>> {
    let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:"));
    let path = path.or_else(|| text.starts_with('/').then_some(text))?;
    if path.starts_with('/') && path.len() > 1 && !path.contains('\0') {
        Some(Ok(PathBuf::from(path)))
    } else {
        Some(Err(ParseAddressError::RelativePath(text.to_owned())))
    }
}

impl FromStr for PeerAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        let malformed = || ParseAddressError::Malformed(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(malformed)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.len() <= 253
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_')
            }
        };
        if valid { Ok(Self::Tcp { host: host.to_owned(), port }) } else { Err(malformed()) }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// An interface's IP and port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
}

impl ListenAddress {
    /// Whether only this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => match address.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
            },
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        text.parse().map(Self::Tcp).map_err(|_| ParseAddressError::NotAnIp(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        for (text, shown) in [
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("/run/a.sock", "unix:/run/a.sock"),
            ("kvm-01.example.org:9440", "kvm-01.example.org:9440"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let address: PeerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":1",
            "unix:",
            "unix:a.sock",
            "::1:80",
            "[x]:1",
            "a b:1",
            "http://x:1",
            "/",
        ] {
            assert!(bad.parse::<PeerAddress>().is_err(), "{bad}");
        }
        for bad in ["localhost:1", "example.org:1", "unix:rel", "1"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn knows_what_is_local() {
        let local = |text: &str| text.parse::<ListenAddress>().expect(text).is_local();
        assert!(local("unix:/x") && local("127.0.0.1:0") && local("127.9.9.9:0") && local("[::1]:0"));
        assert!(local("[::ffff:127.0.0.1]:0"));
        assert!(!local("0.0.0.0:0") && !local("[::]:0") && !local("10.0.0.1:0"));
    }
}
