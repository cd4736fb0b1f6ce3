//! What the suites share: the `sansip` program, other SIP software, loopback ports, torture messages, and skips that are seen.
#![forbid(unsafe_code)]

mod baresip;
mod by_hand;
mod corpus;
mod intruder;
mod kamailio;
mod loopback;
mod phone;
mod process;
mod program;
mod recorder;
mod resting;
mod rig;
mod secured;
mod siege;
pub mod simulated;
mod sipp;
mod skip;
mod stranger;

pub use baresip::Baresip;
pub use by_hand::{
    ByHand, Raw, answer, closes, field, from_peer, messages, methods, of_method, only, statuses,
};
pub use corpus::rfc4475;
pub use intruder::{Intruder, UPGRADE, frame};
pub use kamailio::{Kamailio, Ports, TlsFiles};
pub use loopback::{Peer, free_port};
pub use phone::{Conduct, Note, Phone, invite, offer, uri, uri_at, uri_of};
pub use process::{Finished, Process};
pub use program::{Driver, Program, Server, Transport};
pub use recorder::Recorder;
pub use resting::{Calls, Resting, come_to_rest};
pub use rig::{Family, OnAsyncStd, OnSmol, OnThreads, OnTokio, Over, Rig, Simulated, secured};
pub use secured::{Authority, SecuredServer, options};
pub use siege::{ALL, Caller, STREAMS, Siege};
pub use sipp::{CallCounts, Running, Sipp};
pub use skip::{require_tool, skipped};
pub use stranger::{Log, Manner};
