//! SIP phones of browsers: JsSIP and SIP.js in headless Chromium.

use std::{path::Path, process::Command, time::Duration};

use sansip_tests::{Driver, Process, SecuredServer, require_tool, skipped};

const LIMIT: Duration = Duration::from_secs(90);

/// Who hangs up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Browser,
    Server,
}

/// Has a phone ask for OPTIONS and call; returns `None`, recorded as a skip, where it cannot run.
///
/// A server that hangs up can only do so over the connection that the browser opened (RFC 7118 §5).
fn phone_calls(test: &str, stack: &str, (driver, secure): (Driver, bool), ends: Ends) -> Option<()> {
    let node = require_tool("node", test)?;
    let chromium = require_tool("chromium", test)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    if !folder.join("node_modules/sip.js").is_dir() {
        skipped(test, "the phones are not installed: run `npm ci` in tests/browser");
        return None;
    }
    let server = SecuredServer::start(driver, "").expect("the server starts");
    let (scheme, port) = if secure { ("wss", server.wss) } else { ("ws", server.ws) };
    let mut command = Command::new(node);
    command.current_dir(&folder).env("CHROMIUM", chromium).args(["phone.mjs", stack]);
    command.args([format!("{scheme}://127.0.0.1:{port}"), format!("sip:bob@127.0.0.1:{port}")]);
    let (who, end) = match ends {
        Ends::Browser => ("browser", "ended by local: Terminated"),
        Ends::Server => ("server", "ended by remote: Terminated"),
    };
    let phone = Process::start(command.arg(who)).expect("it starts");
    let (phone, ended) = match ends {
        Ends::Browser => (phone.finish(LIMIT), server.stop()),
        Ends::Server => {
            phone.wait_for(LIMIT, |text| text.contains("confirmed")).expect("it is answered");
            let ended = server.stop();
            (phone.finish(LIMIT), ended)
        }
    };
    let (phone, ended) = (phone.expect("it ends"), ended.expect("it ends when asked to"));
    assert!(phone.status.success(), "{}\n{}", phone.printed, ended.printed);
    for step in ["connected", "options 200 allow INVITE", "progress 180", "confirmed", end] {
        assert!(phone.printed.contains(step), "{step}: {}", phone.printed);
    }
    assert!(ended.printed.contains("calls answered: 1, ended: 1, still open: 0"), "{}", ended.printed);
    Some(())
}

/// C037, RFC 7118: a browser gets OPTIONS answered, calls, and hangs up.
#[test]
fn jssip_calls_over_websocket() {
    let test = "jssip_calls_over_websocket";
    let _skipped = phone_calls(test, "jssip", (Driver::Tokio, false), Ends::Browser);
}

/// C039: so it does over secure WebSocket, on the other driver.
#[test]
fn jssip_calls_over_secure_websocket() {
    let test = "jssip_calls_over_secure_websocket";
    let _skipped = phone_calls(test, "jssip", (Driver::Blocking, true), Ends::Browser);
}

/// C037, RFC 7118 §5: the server hangs up, and its BYE reaches the browser over the browser's own connection.
#[test]
fn jssip_is_hung_up_on_over_websocket() {
    let test = "jssip_is_hung_up_on_over_websocket";
    let _skipped = phone_calls(test, "jssip", (Driver::Blocking, false), Ends::Server);
}

/// C039, RFC 7118 §5: so it does over secure WebSocket.
#[test]
fn jssip_is_hung_up_on_over_secure_websocket() {
    let test = "jssip_is_hung_up_on_over_secure_websocket";
    let _skipped = phone_calls(test, "jssip", (Driver::Tokio, true), Ends::Server);
}

/// C037: another stack that others wrote does the same over WebSocket.
#[test]
fn sipjs_calls_over_websocket() {
    let test = "sipjs_calls_over_websocket";
    let _skipped = phone_calls(test, "sipjs", (Driver::Tokio, false), Ends::Browser);
}

/// C039: over secure WebSocket the server hangs up on it.
#[test]
fn sipjs_is_hung_up_on_over_secure_websocket() {
    let test = "sipjs_is_hung_up_on_over_secure_websocket";
    let _skipped = phone_calls(test, "sipjs", (Driver::Blocking, true), Ends::Server);
}
