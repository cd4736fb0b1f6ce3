use crate::syntax::{NameAddr, Uri, UriBuf, View};

/// The proxies that requests in a dialog pass, nearest first (RFC 3261 §12.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteSet(Box<[Box<str>]>);

/// Where a request goes and what it says about that (RFC 3261 §12.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Itinerary {
    pub(crate) request_uri: UriBuf,
    /// The values of Route.
    pub(crate) routes: Vec<Box<str>>,
    /// The URI that the next hop is found by.
    pub(crate) next_hop: UriBuf,
}

impl RouteSet {
    /// The server's side: Record-Route in its order (DL-03).
    pub(crate) fn of_request(request: View<'_>) -> Self {
        Self(request.record_routes().map(text).collect())
    }

    /// The client's side: Record-Route in reverse (DL-03).
    pub(crate) fn of_response(response: View<'_>) -> Self {
        let mut routes: Vec<Box<str>> = response.record_routes().map(text).collect();
        routes.reverse();
        Self(routes.into())
    }

    /// The route that a request of ours took.
    pub(crate) fn of_own(request: View<'_>) -> Self {
        Self(request.routes().map(text).collect())
    }

    /// A set configured by the application (RFC 3261 §8.1.2).
    pub(crate) fn preloaded(routes: &[UriBuf]) -> Self {
        Self(routes.iter().map(|uri| format!("<{uri}>").into()).collect())
    }

    /// Works out Request-URI, Route and next hop of a request to `target` (DL-05, RFC 3261 §16.12.1).
    pub(crate) fn itinerary(&self, target: &UriBuf) -> Itinerary {
        let loose = || self.0.to_vec();
        let Some(first) = self.0.first().and_then(|route| uri_of(route)) else {
            return Itinerary { request_uri: target.clone(), routes: loose(), next_hop: target.clone() };
        };
        if first.as_uri().is_loose_router() {
            return Itinerary { request_uri: target.clone(), routes: loose(), next_hop: first };
        }
        // A strict router wants to see itself in the Request-URI, without what may not stand there.
        let request_uri = without_headers(first.as_uri());
        let mut routes: Vec<Box<str>> = self.0.iter().skip(1).cloned().collect();
        routes.push(format!("<{target}>").into());
        Itinerary { next_hop: request_uri.clone(), request_uri, routes }
    }
}

fn text(route: NameAddr<'_>) -> Box<str> {
    route.as_str().into()
}

fn uri_of(route: &str) -> Option<UriBuf> {
    NameAddr::parse(route).ok()?.uri().ok().map(UriBuf::from)
}

fn without_headers(uri: Uri<'_>) -> UriBuf {
    let text = uri.as_str();
    let end = text.find('?').unwrap_or(text.len());
    let stripped: String = {
        let mut parts = text[..end].split(';');
        let head = parts.next().unwrap_or_default().to_owned();
        // `method` may not stand in a Request-URI (RFC 3261 §19.1.1).
        parts.filter(|part| !is_method(part)).fold(head, |uri, part| uri + ";" + part)
    };
    Uri::parse(&stripped).map_or_else(|_| UriBuf::from(uri), UriBuf::from)
}

fn is_method(param: &str) -> bool {
    param.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("method"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(routes: &[&str]) -> RouteSet {
        RouteSet(routes.iter().map(|route| (*route).into()).collect())
    }

    fn uri(text: &str) -> UriBuf {
        text.parse().expect("a URI")
    }

    /// DL-05, RFC 3261 §16.12.1.1: all proxies are loose routers.
    #[test]
    fn loose_routes_stay_in_route() {
        let routes = set(&["<sip:p2.example.com;lr>", "<sip:p1.example.com;lr>"]);
        let way = routes.itinerary(&uri("sip:callee@u2.example.com"));
        assert_eq!(way.request_uri.as_str(), "sip:callee@u2.example.com");
        assert_eq!(way.routes, ["<sip:p2.example.com;lr>".into(), "<sip:p1.example.com;lr>".into()]);
        assert_eq!(way.next_hop.as_str(), "sip:p2.example.com;lr");
    }

    /// DL-05, RFC 3261 §16.12.1.2: the first proxy is a strict router.
    #[test]
    fn strict_router_gets_the_request_uri() {
        let routes = set(&["<sip:p1.example.com;method=INVITE?x=y>", "<sip:p2.example.com;lr>"]);
        let way = routes.itinerary(&uri("sip:callee@u2.example.com"));
        assert_eq!(way.request_uri.as_str(), "sip:p1.example.com");
        assert_eq!(way.routes, ["<sip:p2.example.com;lr>".into(), "<sip:callee@u2.example.com>".into()]);
        assert_eq!(way.next_hop, way.request_uri);
    }

    /// DL-05: without a route set the target is everything.
    #[test]
    fn no_routes() {
        let way = set(&[]).itinerary(&uri("sip:a@b"));
        assert_eq!(
            (way.request_uri.as_str(), way.routes.len(), way.next_hop.as_str()),
            ("sip:a@b", 0, "sip:a@b")
        );
    }
}
