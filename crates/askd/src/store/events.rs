//! Reading events, a chunk at a time.

use super::Store;
use super::chunk::Chunk;
use super::error::StoreError;
use super::sql::{get, get_number, number, read_first, statement};

impl Store {
    /// The chunk that holds an event, if it is stored.
    pub async fn chunk_with(&self, run: &str, seq: u64) -> Result<Option<Chunk>, StoreError> {
        let sql = "SELECT first_seq, last_seq, bytes FROM event_chunks WHERE run_id = $1 AND first_seq <= $2 \
            ORDER BY first_seq DESC LIMIT 1";
        let rows = self.rows(statement(self.backend(), sql, [run.into(), number(seq).into()])).await?;
        let found = read_first(&rows, |row| {
            Ok((get_number(row, "first_seq")?, get_number(row, "last_seq")?, get::<Vec<u8>>(row, "bytes")?))
        })?;
        let Some((first, last, bytes)) = found.filter(|(_, last, _)| *last >= seq) else { return Ok(None) };
        match Chunk::decode(first, last, &bytes) {
            Ok(chunk) => Ok(Some(chunk)),
            Err(error) => {
                tracing::error!(run, first, last, %error, "events in the store cannot be read");
                Err(StoreError::Mistake(error.to_string()))
            }
        }
    }
}
