//! Both ends against each other through memory, in pieces of any size.

mod hostile;
mod paths;
mod rig;
mod secured;
mod socket;
