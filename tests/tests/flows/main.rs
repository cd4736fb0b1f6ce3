//! Call flows between real endpoints, and against peers played by hand, in virtual time.

mod cancel;
mod dialogs;
mod forks;
mod ladders;
mod nat;
mod races;
mod requests;
mod script;
mod servers;
mod transport;
mod ways;
