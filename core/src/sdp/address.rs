use std::net::IpAddr;

use bytes::Bytes;

use super::LOCAL_ADDRESS;
use crate::syntax::Host;

/// Replaces [`LOCAL_ADDRESS`] in the `o=` and `c=` lines of a description by the host that peers reach us at.
///
/// `local` tells the family of the host if that is a name.
pub(crate) fn with_local_address(description: &Bytes, host: &str, local: IpAddr) -> Bytes {
    let Some(text) = std::str::from_utf8(description).ok().filter(|text| text.contains(LOCAL_ADDRESS)) else {
        return description.clone();
    };
    let (v6, address) = match Host::parse(host) {
        Ok(Host::V4(address)) => (false, address.to_string()),
        Ok(Host::V6(address)) => (true, address.to_string()),
        Ok(Host::Name(_)) | Err(_) => (local.is_ipv6(), host.to_owned()),
    };
    let kind = if v6 { "IP6" } else { "IP4" };
    let mut filled = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\r', '\n']);
        let before = bare.strip_suffix(LOCAL_ADDRESS).and_then(|before| before.strip_suffix("IP4 "));
        match before.filter(|_| bare.starts_with("o=") || bare.starts_with("c=")) {
            Some(before) => {
                filled.extend([before, kind, " ", &address, &line[bare.len()..]]);
            }
            None => filled.push_str(line),
        }
    }
    filled.into()
}
