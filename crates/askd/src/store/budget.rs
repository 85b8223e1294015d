//! What runs cost: what is set aside for those that have not ended, and what those that have were charged. Sums of it are in
//! [`super::usage`].
//!
//! Money is set aside in the transaction that stores the run ([`Submit`](super::submit::Submit)), and settled in the one that
//! stores its end ([`Append`](super::append::Append)) or takes it away again ([`Withdraw`](super::submit::Withdraw)). There is
//! no moment in which a run has ended and its money is still set aside, and none in which it is settled twice: a run ends
//! once. Amounts are millionths of a US dollar; a day is counted from 1970, UTC, and is the one in which the run was
//! submitted.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, QueryResult, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, get_number, number, read_first, statement};
use super::usage::{Counted, Settled, Usage, count};

/// Milliseconds in a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The day of a time in milliseconds since 1970.
pub fn day_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(DAY_MS)
}

/// When a day begins, in milliseconds since 1970.
pub fn beginning_of(day: i64) -> i64 {
    day.saturating_mul(DAY_MS)
}

/// What a run needs of what its key may spend in a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// The most that the key's runs of the day may cost.
    pub limit: u64,
    /// What is to be set aside.
    pub amount: u64,
    /// With how much the run does as well, if no more is left; not above `amount`.
    pub least: u64,
}

/// What a key has spent on a day, and what is set aside for its runs that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetDay {
    /// Charged.
    pub spent: u64,
    /// Set aside.
    pub reserved: u64,
}

/// What became of a wish.
pub(super) enum Reserved {
    /// So much is set aside.
    Amount(u64),
    /// Less than the least is left.
    Exhausted(BudgetDay),
}

/// A key that is given a budget in the middle of a day has spent what it has spent.
const NEW_DAY: &str = "INSERT INTO budget_days (key_id, day, spent_micros, reserved_micros) \
    VALUES ($1, $2, COALESCE((SELECT CAST(SUM(cost_micros) AS BIGINT) FROM usage_days \
    WHERE key_id = $1 AND day = $2), 0), 0) ON CONFLICT (key_id, day) DO NOTHING";

const LOOK: &str = "SELECT spent_micros, reserved_micros FROM budget_days WHERE key_id = $1 AND day = $2";

const TAKE: &str = "UPDATE budget_days SET reserved_micros = reserved_micros + $3 WHERE key_id = $1 AND day = $2";

const GIVE_BACK: &str = "UPDATE budget_days SET reserved_micros = reserved_micros - $3, spent_micros = spent_micros + $4 \
    WHERE key_id = $1 AND day = $2";

/// Sets money aside for a run that was stored in this transaction.
pub(super) async fn reserve(
    tx: &DatabaseTransaction,
    run_id: &str,
    key_id: &str,
    day: i64,
    wish: &Reserve,
) -> Result<Reserved, DbErr> {
    let engine = tx.get_database_backend();
    let place = || -> [Value; 2] { [key_id.into(), day.into()] };
    tx.execute_raw(statement(engine, NEW_DAY, place())).await?;
    // Held to the end of the transaction: other servers wait, and see what was taken.
    let look = if engine == DbBackend::Postgres { format!("{LOOK} FOR UPDATE") } else { LOOK.to_owned() };
    let row = tx.query_one_raw(statement(engine, &look, place())).await?;
    let found = row.as_ref().map(read_day).transpose()?.unwrap_or_default();
    let left = wish.limit.saturating_sub(found.spent).saturating_sub(found.reserved);
    let amount = wish.amount.min(left);
    if amount < wish.least {
        return Ok(Reserved::Exhausted(found));
    }
    let [key_id, at] = place();
    tx.execute_raw(statement(engine, TAKE, [key_id, at, number(amount).into()])).await?;
    let sql = "UPDATE runs SET reserved_micros = $2, budget_day = $3 WHERE id = $1";
    tx.execute_raw(statement(engine, sql, [run_id.into(), number(amount).into(), day.into()])).await?;
    Ok(Reserved::Amount(amount))
}

/// What a run is charged that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// What it has cost is not known to the end: what was told of it, and no less than was set aside for it. Nothing if it
    /// was never begun.
    #[default]
    AsReserved,
    /// So much, in millionths of a US dollar.
    Exactly(u64),
}

/// Charges a run whose end was stored in this transaction; what was counted for it, if there is such a run.
pub(super) async fn settle(tx: &DatabaseTransaction, run_id: &str, charge: Charge) -> Result<Option<Settled>, DbErr> {
    let Some(run) = Unsettled::of(tx, run_id).await? else { return Ok(None) };
    let engine = tx.get_database_backend();
    let told = run.known.max(run.usage.as_ref().map(|usage| usage.sum().cost_micros));
    let charged = match charge {
        // Not less than what its models are known to have cost, or the sums would differ.
        Charge::Exactly(cost) => Some(cost).max(told),
        Charge::AsReserved if run.started_at.is_none() => Some(0),
        Charge::AsReserved => told.max(run.reserved),
    };
    if charged != run.known {
        let sql = "UPDATE runs SET cost_micros = $2 WHERE id = $1";
        tx.execute_raw(statement(engine, sql, [run_id.into(), charged.map(number).into()])).await?;
    }
    let charged = charged.unwrap_or(0);
    run.settle_day(tx, charged).await?;
    let counted = Counted {
        session: &run.session_id,
        key: &run.key_id,
        day: day_of(run.created_at),
        workspace: &run.workspace,
        charged,
        usage: &run.usage.clone().unwrap_or_default(),
    };
    count(tx, &counted).await?;
    Ok(Some(Settled { key_id: run.key_id.clone(), models: counted.models(), started_at: run.started_at }))
}

/// What of a run's row says what is to be settled for it.
pub(super) struct Unsettled {
    key_id: String,
    session_id: String,
    workspace: String,
    usage: Option<Usage>,
    reserved: Option<u64>,
    day: Option<i64>,
    known: Option<u64>,
    started_at: Option<i64>,
    created_at: i64,
}

impl Unsettled {
    pub(super) async fn of(tx: &DatabaseTransaction, run_id: &str) -> Result<Option<Self>, DbErr> {
        let sql = "SELECT key_id, session_id, workspace, usage, reserved_micros, budget_day, cost_micros, started_at, \
            created_at FROM runs WHERE id = $1";
        let row = tx.query_one_raw(statement(tx.get_database_backend(), sql, [run_id.into()])).await?;
        row.as_ref().map(Self::read).transpose()
    }

    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let amount = |column| get::<Option<i64>>(row, column).map(|micros| micros.and_then(|it| it.try_into().ok()));
        Ok(Self {
            key_id: get(row, "key_id")?,
            session_id: get(row, "session_id")?,
            usage: get::<Option<String>>(row, "usage")?.map(|text| Usage::from_json(&text)),
            workspace: get::<Option<String>>(row, "workspace")?.unwrap_or_default(),
            reserved: amount("reserved_micros")?,
            day: get(row, "budget_day")?,
            known: amount("cost_micros")?,
            started_at: get(row, "started_at")?,
            created_at: get(row, "created_at")?,
        })
    }

    /// After the run was taken away.
    pub(super) async fn give_back(&self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        self.settle_day(tx, 0).await
    }

    async fn settle_day(&self, tx: &DatabaseTransaction, charged: u64) -> Result<(), DbErr> {
        // A run that has nothing set aside counts too: its key may have been given a budget while it worked.
        let (reserved, day) = (self.reserved.unwrap_or(0), self.day.unwrap_or_else(|| day_of(self.created_at)));
        if (reserved, charged) == (0, 0) {
            return Ok(());
        }
        let values = [self.key_id.as_str().into(), day.into(), number(reserved).into(), number(charged).into()];
        // The day's row may be gone, if the run took longer than it is kept. A key without a budget has none.
        tx.execute_raw(statement(tx.get_database_backend(), GIVE_BACK, values)).await.map(|_| ())
    }
}

fn read_day(row: &QueryResult) -> Result<BudgetDay, DbErr> {
    Ok(BudgetDay { spent: get_number(row, "spent_micros")?, reserved: get_number(row, "reserved_micros")? })
}

impl Store {
    /// What a key has spent on a day, and what is set aside; `None`: no run with a budget was taken in on it.
    pub async fn budget_day(&self, key_id: &str, day: i64) -> Result<Option<BudgetDay>, StoreError> {
        let rows = self.rows(statement(self.backend(), LOOK, [key_id.into(), day.into()])).await?;
        read_first(&rows, read_day)
    }
}
