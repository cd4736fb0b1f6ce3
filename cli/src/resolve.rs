use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use sansip::{
    Destination, DnsError, Input, Instant, Limits, Machine, Output, Place, Preference, Proto, Reach,
    Resolver, UriBuf,
};

use crate::{caller::target, exit::Exit, print};

/// What is needed to find servers.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Args {
    /// Whose servers: sip:HOST, sips:HOST, sip:HOST;transport=tcp, …
    #[arg(value_parser = target)]
    uri: UriBuf,
    /// The name server to ask instead of the system's, at port 53 unless said; may be given several times
    #[arg(long = "server", value_name = "IP[:PORT]", value_parser = name_server)]
    servers: Vec<SocketAddr>,
    /// A transport that may be chosen where the URI leaves it open; may be given several times
    #[arg(long = "transport", value_name = "TRANSPORT", default_values = ["udp", "tcp", "tls"])]
    transports: Vec<Proto>,
    /// Put IPv6 first where a host has both
    #[arg(long)]
    ipv6: bool,
}

/// Reads the address of a name server.
fn name_server(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS)).ok();
    let address = text.parse().ok().or_else(alone);
    address.ok_or_else(|| "write an IP address, with a port or without: 192.0.2.53, [2001:db8::53]:53".into())
}

/// The port of name servers (RFC 1035 §4.2).
const DNS: u16 = 53;

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let to = match Destination::of(args.uri.as_uri()) {
        Ok(to) => to,
        Err(error) => {
            print::error(format_args!("{}: {error}: write sip:HOST or sips:HOST", args.uri));
            return Exit::Local;
        }
    };
    match search(&args, &to) {
        Ok(Ok(places)) if !places.is_empty() => {
            for Place { proto, addr, .. } in places {
                print::line(format_args!("{proto} {} {}", addr.ip(), addr.port()));
            }
            Exit::Success
        }
        Ok(Ok(_)) => {
            let advice = "check the name, or ask another server with --server IP:PORT";
            print::error(format_args!("{} has no server of these transports: {advice}", args.uri));
            Exit::Unreachable
        }
        Ok(Err(error)) => {
            let advice = "check the network, or ask another server with --server IP:PORT";
            print::error(format_args!("{error}: {advice}"));
            Exit::Unreachable
        }
        Err(error) => {
            print::error(format_args!("the system does not let it start: {error}"));
            Exit::Local
        }
    }
}

type Found = Result<Vec<Place>, DnsError>;

fn search(args: &Args, to: &Destination) -> std::io::Result<Found> {
    let mut reach = Reach::default();
    for proto in Proto::ALL {
        reach = reach.with(proto, true).with(proto, false);
    }
    reach = args.transports.iter().fold(reach, |reach, proto| reach.choosing(*proto));
    let preference = if args.ipv6 { Preference::Ipv6 } else { Preference::Ipv4 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut limits = Limits::default();
    limits.attempts = usize::MAX;
    let mut search = Search {
        resolver: Resolver::new(&sansip_tokio::seed()?),
        limits,
        outputs: VecDeque::new(),
        found: None,
    };
    let Search { resolver, limits, outputs, .. } = &mut search;
    resolver.resolve(sansip_tokio::now(), limits, ((), to), (reach, preference), outputs);
    search.look();
    let (node, _handle) = sansip_tokio::node();
    let search = runtime.block_on(node.name_servers(args.servers.clone()).run(search));
    Ok(search.found.unwrap_or(Err(DnsError::TimedOut)))
}

/// A machine that only finds servers, and then stops.
struct Search {
    resolver: Resolver<()>,
    limits: Limits,
    outputs: VecDeque<Output>,
    found: Option<Found>,
}

impl Search {
    fn look(&mut self) {
        if let Some(((), found)) = self.resolver.poll_found() {
            self.found = Some(found);
        }
    }
}

impl Machine for Search {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if let Input::Resolved { query, result } = input {
            self.resolver.resolved(now, &self.limits, query, result, &mut self.outputs);
        }
        while self.resolver.expire(now, &self.limits) {}
        self.look();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.resolver.next_timeout().filter(|_| self.found.is_none())
    }

    fn is_stopped(&self) -> bool {
        self.found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_have_a_usual_port() {
        for (text, address) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:54", "192.0.2.53:54"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]", "[2001:db8::53]:53"),
            ("[2001:db8::53]:54", "[2001:db8::53]:54"),
        ] {
            assert_eq!(name_server(text).map(|found| found.to_string()), Ok(address.into()));
        }
        for bad in ["", "ns.example.com", "192.0.2.53:", "192.0.2.53:70000"] {
            assert!(name_server(bad).is_err(), "{bad}");
        }
    }
}
