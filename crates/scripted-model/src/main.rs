//! Serves a scripted Messages API until it is told to stop.

use std::io;
use std::net::SocketAddr;

use clap::{Arg, Command, value_parser};
use scripted_model::{ScriptedModel, Settings};
use tokio::signal::unix::{SignalKind, signal};

fn command() -> Command {
    Command::new("scripted-model")
        .about("A scripted Messages API: prompts say what the model answers")
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .default_value("127.0.0.1:8787")
                .value_parser(value_parser!(SocketAddr))
                .help("Address to listen on; port 0 picks a free one"),
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("COUNT")
                .default_value("1000")
                .value_parser(value_parser!(usize))
                .help("How many requests GET /__requests remembers"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("COUNT")
                .default_value("1")
                .value_parser(value_parser!(usize))
                .help("How many threads serve"),
        )
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = command().get_matches();
    let mut settings = Settings::default();
    if let Some(listen) = arguments.get_one("listen") {
        settings.listen = *listen;
    }
    if let Some(keep) = arguments.get_one("keep") {
        settings.keep_requests = *keep;
    }
    if let Some(threads) = arguments.get_one("threads") {
        settings.threads = *threads;
    }
    // Handlers first: whoever has read the address may send a signal.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let model = ScriptedModel::start_with(settings).await?;
    announce(&model);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    model.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the address is this program's output")]
fn announce(model: &ScriptedModel) {
    println!("scripted-model listens on {}", model.base_url());
}
