//! `askd demo --only-model`: the scripted model alone, for a server that somebody starts beside it.

use std::io::{self, Write};

use scripted_model::ScriptedModel;

use super::DemoError;
use crate::serve::signals::Signals;

/// Writes the model's address to `terminal`, and serves until standard input ends or a signal comes.
///
/// Whoever starts it holds the other end of its input, and need not see to its end: `scripts/start` hands it to askd.
pub async fn serve(signals: &mut Signals, terminal: &mut impl Write) -> Result<(), DemoError> {
    let model = ScriptedModel::start().await?;
    writeln!(terminal, "{}", model.base_url())?;
    terminal.flush()?;
    // A thread that may stay in its read: the process ends around it.
    let input = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        _ = input => {}
        () = signals.next() => {}
    }
    model.shutdown().await;
    Ok(())
}
