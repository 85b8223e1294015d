//! A server in this process, on a free port of loopback, with folders of its own.

mod client;
mod folders;
mod server;
mod wait;

pub(crate) use client::{Answer, Block, Stream};
pub(crate) use folders::Folders;
pub(crate) use server::{TestServer, TestServerBuilder, fake_cli, marked_processes, real_cli};
pub(crate) use wait::eventually;
