//! The lane: one Missive rate budget and everything that shares it.

pub mod policy;

pub use policy::Policy;
