//! A browser's SIP phone: JsSIP in headless Chromium.

use std::{path::Path, process::Command, time::Duration};

use sansip_tests::{Driver, Process, SecuredServer, require_tool, skipped};

const LIMIT: Duration = Duration::from_secs(90);

/// Has the phone ask for OPTIONS, call and hang up; returns `None`, recorded as a skip, where it cannot run.
fn phone_calls(test: &str, driver: Driver, secure: bool) -> Option<()> {
    let node = require_tool("node", test)?;
    let chromium = require_tool("chromium", test)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    if !folder.join("node_modules/jssip").is_dir() {
        skipped(test, "JsSIP is not installed: run `npm ci` in tests/browser");
        return None;
    }
    let server = SecuredServer::start(driver, "").expect("the server starts");
    let (scheme, port) = if secure { ("wss", server.wss) } else { ("ws", server.ws) };
    let mut command = Command::new(node);
    command.current_dir(&folder).env("CHROMIUM", chromium).arg("phone.mjs");
    command.args([format!("{scheme}://127.0.0.1:{port}"), format!("sip:bob@127.0.0.1:{port}")]);
    let phone = Process::start(&mut command).and_then(|phone| phone.finish(LIMIT)).expect("it ends");
    let ended = server.stop().expect("it ends when asked to");
    assert!(phone.status.success(), "{}\n{}", phone.printed, ended.printed);
    for step in ["connected", "options 200 allow INVITE", "confirmed", "ended by local: Terminated"] {
        assert!(phone.printed.contains(step), "{step}: {}", phone.printed);
    }
    assert!(ended.printed.contains("calls answered: 1, ended: 1, still open: 0"), "{}", ended.printed);
    Some(())
}

/// C037, RFC 7118: a browser gets OPTIONS answered, calls, and hangs up.
#[test]
fn jssip_calls_over_websocket() {
    let _skipped = phone_calls("jssip_calls_over_websocket", Driver::Tokio, false);
}

/// C039: so it does over secure WebSocket, on the other driver.
#[test]
fn jssip_calls_over_secure_websocket() {
    let _skipped = phone_calls("jssip_calls_over_secure_websocket", Driver::Blocking, true);
}
