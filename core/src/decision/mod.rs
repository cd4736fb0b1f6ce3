//! The vocabulary between the machines and the application: handles, questions, replies, commands, events.

mod command;
mod config;
mod event;
mod forming;
mod handle;
mod listener;
mod outgoing;
mod question;
mod record;
mod reply;

pub use command::{Command, CommandError, DialogError, Outcome, ProvisionalError, SendError};
pub(crate) use config::Settings;
pub use config::{Config, ConfigError, NatPolicy};
pub use event::{Ask, ClientEnd, DialogChange, DialogEnd, Event, ServerEnd, Void};
pub use forming::FormError;
pub use handle::{AlarmId, AskId, BadHandle, ClientHandle, DialogHandle, Gone, ServerHandle};
pub use listener::Listener;
pub use outgoing::{AckMode, ExtraForks, Outgoing, Recipient};
pub use question::{
    Answer, Decision, MethodFacts, Pending, Question, Routing, RoutingFacts, Source, Verdict,
};
pub use record::{InputBuf, Record};
pub use reply::{Body, Reply};
