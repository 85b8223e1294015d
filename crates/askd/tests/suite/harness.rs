//! A server in this process, on a free port of loopback, with folders of its own; and the program itself, as a process.

mod client;
mod folders;
mod program;
mod raw;
mod server;
mod wait;

pub(crate) use client::{Answer, Block, Stream};
pub(crate) use folders::Folders;
pub(crate) use program::{Program, living_pids};
pub(crate) use raw::RawClient;
pub(crate) use server::{TestServer, TestServerBuilder, fake_cli, launcher, marked_processes, real_cli};
pub(crate) use wait::{beside, eventually};
