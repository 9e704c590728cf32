//! Syncline, the protocol, without I/O.
//!
//! The modules stand on floors; imports only point down (a test checks it):
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`fault`], [`limits`], [`value`] |
//! | 1 | [`codec`], [`clock`], [`hash`], [`entropy`] |
//! | 2 | [`change`], [`rules`] |
//! | 3 | [`store`], [`space`] |
//! | 4 | [`registry`], [`message`], [`credit`], [`ranges`] |
//! | 5 | [`server`], [`peer`], [`client`] |
//! | 6 | [`sim`] |
//!
//! Time, randomness and storage are arguments: same inputs, same outputs, byte for byte.

pub mod fault;
pub mod limits;
pub mod value;

pub mod clock;
pub mod codec;
pub mod entropy;
pub mod hash;

pub mod change;
pub mod rules;

pub mod space;
pub mod store;

pub mod credit;
pub mod message;
pub mod ranges;
pub mod registry;

pub mod client;
pub mod peer;
pub mod server;

pub mod sim;
