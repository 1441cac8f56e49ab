//! (being built)
pub mod admin;
pub mod courier;
pub mod hook;
