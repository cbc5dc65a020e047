//! Tests inside of a server.
