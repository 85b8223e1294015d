//! What the server says of its own isolation, and whether that is so.

mod aliases;
mod cgroup;
mod doctor;
mod doctor_beside;
mod probe;
mod report;
mod secrets;
mod tokens;
