//! Runs that do what a command that a model chose might try: each attack first shows that it works where nothing stops
//! it, and then which layer does.
//!
//! The attacks are those of `examples/attacker`, started by the scripted CLI. The servers are the program itself: started
//! as root and dropping to another user, started by an ordinary user, and root all along (`ASKD_ALLOW_ROOT`); each
//! without isolation, with bubblewrap and with Landlock. What a layer is not said to stop is looked for in what
//! `GET /v1/isolation` says is not prevented.

mod ends;
mod hogs;
mod inherited;
mod reads;
mod server;
mod sockets;
mod swaps;
mod table;
mod traces;
mod traps;
mod writes;
