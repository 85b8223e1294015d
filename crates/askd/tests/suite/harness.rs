//! A server in this process, on a free port of loopback, with folders of its own; and the program itself, as a process.

mod client;
mod collector;
mod config;
mod contract;
mod engine;
mod folders;
mod frozen;
mod holder;
mod program;
mod python;
mod raw;
mod scrape;
mod server;
mod terminal;
mod tls;
mod v1;
mod wait;

pub(crate) use client::{Answer, Block, Stream};
pub(crate) use collector::{Collector, Manner, Spans};
pub(crate) use engine::{Engine, Outside, integrity};
pub(crate) use folders::{Folders, give, place_program, script};
pub(crate) use frozen::Frozen;
pub(crate) use holder::Holder;
pub(crate) use program::{Program, UNPRIVILEGED, as_user, living_pids, unprivileged};
pub(crate) use python::python;
pub(crate) use raw::RawClient;
pub(crate) use scrape::Scraped;
pub(crate) use server::{TestServer, TestServerBuilder, fake_cli, launcher, marked_processes, older_cli, real_cli};
pub(crate) use terminal::{Terminal, as_printed};
pub(crate) use tls::{Authority, Pair, TlsClient, encrypted};
pub(crate) use v1::{V1, types};
pub(crate) use wait::{beside, eventually, eventually_async, not_over_midnight};
