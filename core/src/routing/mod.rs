//! Routing
