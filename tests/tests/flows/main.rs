//! Call flows between real endpoints, and against peers played by hand, in virtual time.

mod ladders;
mod requests;
mod script;
