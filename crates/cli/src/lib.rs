//! Runs the engine outside of the server.
//!
//! The library has what a program needs to reach the database that holds the mirrors. The engine
//! and its SQL are those of `ipai_mirror`.

pub mod session;
