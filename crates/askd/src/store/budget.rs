//! What runs cost: what is set aside for those that have not ended, what those that have were charged, and sums by day.
//!
//! Money is set aside in the transaction that stores the run ([`Submit`](super::submit::Submit)), and settled in the one that
//! stores its end ([`Append`](super::append::Append)) or takes it away again ([`Withdraw`](super::submit::Withdraw)). There is
//! no moment in which a run has ended and its money is still set aside, and none in which it is settled twice: a run ends
//! once. Amounts are millionths of a US dollar; a day is counted from 1970, UTC, and is the one in which the run was
//! submitted.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, QueryResult, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, get_number, number, read_all, read_first, statement};

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

const USED: &str = "INSERT INTO usage_days (key_id, day, workspace, runs, cost_micros) VALUES ($1, $2, $3, 1, $4) \
    ON CONFLICT (key_id, day, workspace) DO UPDATE SET runs = usage_days.runs + 1, \
    cost_micros = usage_days.cost_micros + excluded.cost_micros";

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
    /// What was told of it while it worked.
    AsTold,
    /// So much, in millionths of a US dollar.
    Exactly(u64),
}

/// Charges a run whose end was stored in this transaction.
pub(super) async fn settle(tx: &DatabaseTransaction, run_id: &str, charge: Charge) -> Result<(), DbErr> {
    let Some(run) = Unsettled::of(tx, run_id).await? else { return Ok(()) };
    let engine = tx.get_database_backend();
    let charged = match charge {
        Charge::Exactly(cost) => Some(cost),
        Charge::AsReserved if !run.begun => Some(0),
        Charge::AsReserved => run.known.max(run.reserved),
        Charge::AsTold => run.known,
    };
    if charged != run.known {
        let sql = "UPDATE runs SET cost_micros = $2 WHERE id = $1";
        tx.execute_raw(statement(engine, sql, [run_id.into(), charged.map(number).into()])).await?;
    }
    let charged = charged.unwrap_or(0);
    run.settle_day(tx, charged).await?;
    let values = [run.key_id.into(), day_of(run.created_at).into(), run.workspace.into(), number(charged).into()];
    tx.execute_raw(statement(engine, USED, values)).await.map(|_| ())
}

/// What of a run's row says what is to be settled for it.
pub(super) struct Unsettled {
    key_id: String,
    workspace: String,
    reserved: Option<u64>,
    day: Option<i64>,
    known: Option<u64>,
    begun: bool,
    created_at: i64,
}

impl Unsettled {
    pub(super) async fn of(tx: &DatabaseTransaction, run_id: &str) -> Result<Option<Self>, DbErr> {
        let sql = "SELECT key_id, workspace, reserved_micros, budget_day, cost_micros, started_at, created_at \
            FROM runs WHERE id = $1";
        let row = tx.query_one_raw(statement(tx.get_database_backend(), sql, [run_id.into()])).await?;
        row.as_ref().map(Self::read).transpose()
    }

    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let amount = |column| get::<Option<i64>>(row, column).map(|micros| micros.and_then(|it| it.try_into().ok()));
        Ok(Self {
            key_id: get(row, "key_id")?,
            workspace: get::<Option<String>>(row, "workspace")?.unwrap_or_default(),
            reserved: amount("reserved_micros")?,
            day: get(row, "budget_day")?,
            known: amount("cost_micros")?,
            begun: get::<Option<i64>>(row, "started_at")?.is_some(),
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

/// By what costs are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// Days, the latest first.
    Day,
    /// Keys.
    Key,
    /// Workspaces.
    Workspace,
}

/// Which costs are summed up.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Of one key.
    pub key: Option<String>,
    /// From this day on.
    pub first_day: i64,
    /// Up to this day, which counts.
    pub last_day: i64,
    /// How.
    pub by: UsageBy,
    /// Those that come after this [`UsageRow::name`].
    pub after: Option<String>,
    /// The most rows.
    pub limit: u64,
}

/// What runs have cost together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The number of the day, the key's id, or the workspace; a run that works in none has an empty one.
    pub name: String,
    /// Runs that have ended.
    pub runs: u64,
    /// What they have cost.
    pub cost: u64,
}

impl Store {
    /// What a key has spent on a day, and what is set aside; `None`: no run with a budget was taken in on it.
    pub async fn budget_day(&self, key_id: &str, day: i64) -> Result<Option<BudgetDay>, StoreError> {
        let rows = self.rows(statement(self.backend(), LOOK, [key_id.into(), day.into()])).await?;
        read_first(&rows, read_day)
    }

    /// What runs have cost.
    pub async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        let (column, order, beyond) = match filter.by {
            UsageBy::Day => ("day", "DESC", "<"),
            UsageBy::Key => ("key_id", "ASC", ">"),
            UsageBy::Workspace => ("workspace", "ASC", ">"),
        };
        let mut values: Vec<Value> = vec![filter.first_day.into(), filter.last_day.into()];
        let mut conditions = "day >= $1 AND day <= $2".to_owned();
        let mut condition = |text: &str, value: Value| {
            values.push(value);
            conditions = format!("{conditions} AND {text} ${}", values.len());
        };
        if let Some(key) = &filter.key {
            condition("key_id =", key.as_str().into());
        }
        if let Some(after) = &filter.after {
            let after = match filter.by {
                UsageBy::Day => after.parse::<i64>().unwrap_or(i64::MIN).into(),
                UsageBy::Key | UsageBy::Workspace => after.as_str().into(),
            };
            condition(&format!("{column} {beyond}"), after);
        }
        let sql = format!(
            "SELECT CAST({column} AS TEXT) AS name, CAST(SUM(runs) AS BIGINT) AS runs, \
             CAST(SUM(cost_micros) AS BIGINT) AS cost FROM usage_days WHERE {conditions} \
             GROUP BY {column} ORDER BY {column} {order} LIMIT {}",
            number(filter.limit)
        );
        let rows = self.rows(sea_orm::Statement::from_sql_and_values(self.backend(), &sql, values)).await?;
        let read = |row: &QueryResult| {
            Ok(UsageRow { name: get(row, "name")?, runs: get_number(row, "runs")?, cost: get_number(row, "cost")? })
        };
        read_all(&rows, read)
    }
}
