use sansip::{ClientEnd, IoKind, Response, StatusCode, syntax::HeaderId, wire::WireFailure};

use crate::exit::Exit;

/// Returns how the program ends after a request has ended so.
pub(crate) const fn exit(end: ClientEnd) -> Exit {
    match end {
        ClientEnd::Final(status) if status.is_success() => Exit::Success,
        ClientEnd::Final(StatusCode::REQUEST_TIMEOUT) => Exit::NoAnswer,
        ClientEnd::Final(_) => Exit::Rejected,
        ClientEnd::Transport(_) | ClientEnd::NoAddress => Exit::Unreachable,
        _ => Exit::NoAnswer,
    }
}

/// Says what has happened, and what to do about it.
pub(crate) fn explain(end: ClientEnd, last: Option<&Response>, failure: Option<WireFailure>) -> String {
    match end {
        ClientEnd::Final(status) => match last {
            Some(response) => format!("rejected with {}{}", line(response), advice(status, response)),
            None => format!("rejected with {status}"),
        },
        ClientEnd::Timeout => {
            format!("no answer in time: perhaps nobody listens there; {ELSEWHERE}")
        }
        ClientEnd::Transport(IoKind::Refused) => {
            format!("connection refused: nobody listens there; {ELSEWHERE}")
        }
        // ICMP does not say it more precisely.
        ClientEnd::Transport(IoKind::Unreachable) => {
            format!("cannot be reached: no such host, or nobody listens there; {ELSEWHERE}")
        }
        ClientEnd::Transport(error) => match failure {
            // It says more of the same.
            Some(failure) if failure.error.kind() == error => {
                format!("cannot be reached: {error}: {}{}", failure.error, remedy(error))
            }
            _ => format!("cannot be reached: {error}{}", remedy(error)),
        },
        ClientEnd::NoAddress => "the host has no address: check the name, or use an IP address".into(),
        _ => "given up before there was an answer".into(),
    }
}

const ELSEWHERE: &str = "check host and port, or try another ;transport=";

const fn remedy(error: IoKind) -> &'static str {
    match error {
        IoKind::Untrusted => "; name who vouches for it with --tls-ca FILE, or check the name",
        IoKind::Reset | IoKind::Protocol => {
            "; it may speak another protocol there: check the port, or try another ;transport="
        }
        _ => "",
    }
}

/// Returns status and reason phrase as they came.
pub(crate) fn line(response: &Response) -> String {
    let reason = response.view().reason();
    if reason.is_empty() {
        response.status().to_string()
    } else {
        format!("{} {reason}", response.status().as_u16())
    }
}

fn advice(status: StatusCode, response: &Response) -> String {
    let view = response.view();
    let retry =
        view.header(HeaderId::RetryAfter).map(|after| format!("; it may be asked again in {after} s"));
    let known = match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "; it wants credentials, which this version cannot give yet"
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => "; check the user part of the URI",
        StatusCode::NOT_ACCEPTABLE_HERE => "; it takes none of the offered media",
        StatusCode::BUSY_HERE | StatusCode::TEMPORARILY_UNAVAILABLE => "; try again later",
        _ if status.is_redirection() => "",
        _ => return retry.unwrap_or_default(),
    };
    let contact = view.contacts().next().filter(|_| status.is_redirection());
    let moved = contact.map_or_else(String::new, |contact| format!("; call {} instead", contact.uri_text()));
    format!("{known}{moved}{}", retry.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each end has its code, and what failed says what to do.
    #[test]
    fn ends_have_codes_and_words() {
        let status = |code| ClientEnd::Final(StatusCode::new(code).expect("a final response"));
        for (end, code, words) in [
            (status(200), Exit::Success, ""),
            (status(299), Exit::Success, ""),
            (status(302), Exit::Rejected, "rejected with 302"),
            (status(407), Exit::Rejected, "rejected with 407"),
            (status(408), Exit::NoAnswer, "rejected with 408"),
            (status(486), Exit::Rejected, "rejected with 486"),
            (status(503), Exit::Rejected, "rejected with 503"),
            (status(603), Exit::Rejected, "rejected with 603"),
            (
                ClientEnd::Timeout,
                Exit::NoAnswer,
                "no answer in time: perhaps nobody listens there; check host",
            ),
            (
                ClientEnd::Transport(IoKind::Refused),
                Exit::Unreachable,
                "refused: nobody listens there; check host",
            ),
            (
                ClientEnd::Transport(IoKind::Unreachable),
                Exit::Unreachable,
                "nobody listens there; check host",
            ),
            (ClientEnd::Transport(IoKind::Reset), Exit::Unreachable, "it may speak another protocol there"),
            (
                ClientEnd::Transport(IoKind::Protocol),
                Exit::Unreachable,
                "it may speak another protocol there",
            ),
            (ClientEnd::Transport(IoKind::TimedOut), Exit::Unreachable, "cannot be reached: "),
            (ClientEnd::NoAddress, Exit::Unreachable, "has no address: check the name"),
        ] {
            assert_eq!(exit(end), code, "{end:?}");
            let said = explain(end, None, None);
            assert!(said.contains(words), "{end:?}: {said}");
        }
    }
}
