//! Call flows between real endpoints, and against peers played by hand, in virtual time.

mod dialogs;
mod ladders;
mod races;
mod requests;
mod script;
