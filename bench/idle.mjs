// What askd costs when nothing happens: start to /readyz, resident memory.
import { STORES, askd } from './askd.mjs';
import { median, memory, round, sleep } from './lib.mjs';
import { row } from './report.mjs';

const STARTS = 10;
/** What a start leaves to be done in the background is done by then. */
const SETTLE_MS = 1000;

export async function measureIdle(context, store) {
  const instance = await askd(context, 'idle', store, context.stub);
  // The first start makes the tables and tries the CLI; what it finds out is kept for the next ones.
  const first = await instance.start();
  await first.stop();
  const starts = [];
  let resident;
  for (let start = 0; start < STARTS; start += 1) {
    const server = await instance.start();
    starts.push(server.readyMs);
    if (start === STARTS - 1) {
      await sleep(SETTLE_MS);
      resident = { all: memory(server.pid), anonymous: memory(server.pid, 'RssAnon') };
    }
    await server.stop();
  }
  const ready = median(starts);
  return {
    rows: [
      row('idle memory', STORES[store], `${round(resident.all)} MB (${round(resident.anonymous)} MB anonymous)`, '≤ 25 MB', resident.all <= 25),
      row('start to `/readyz`, p50', STORES[store], `${round(ready)} ms`, '≤ 100 ms', ready <= 100),
    ],
    details: { first_start_ms: round(first.readyMs), starts_ms: starts.map((ms) => round(ms)), memory_mb: resident },
  };
}
