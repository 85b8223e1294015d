// How long one durable event takes from the CLI's write to the client's read, beside a run that writes much. Stub and
// client read the same clock.
import { STORES, startForOutput } from './askd.mjs';
import { KEY, client, quantile, round } from './lib.mjs';
import { row } from './report.mjs';

const EVENTS = 3000;
const RATE = 100;
const BESIDE_BYTES = 20_000_000;
const LINE = 1024;

export async function measureLatency(context, store) {
  const server = await startForOutput(context, 'latency', store);
  const body = (prompt) => JSON.stringify({ prompt });
  const read = await client(context, 'latency', {
    address: server.address,
    path: '/v1/runs',
    key: KEY,
    accept: 'text/event-stream',
    body: body(`ticks:${EVENTS}:${RATE}:${LINE}`),
    // Begins earlier and ends later.
    beside: body(`pace:${BESIDE_BYTES}:${LINE}:${EVENTS / RATE + 3}`),
  });
  await server.stop();
  const { latencies_ns: latencies, beside_bytes: beside, seconds, beside_all_along: along } = read;
  if (latencies.length !== EVENTS || !along) throw new Error(`${latencies.length} events came; beside all along: ${along}`);
  // With the envelope it is more than what the CLI writes.
  const besideRate = beside / 1e6 / seconds;
  if (besideRate < BESIDE_BYTES / 1e6) throw new Error(`the run beside had ${round(besideRate)} MB/s only`);
  const at = (q) => round(quantile(latencies, q) / 1e6, 2);
  const figures = { p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), p999_ms: at(0.999), max_ms: at(1) };
  const rows = [
    row('added latency of a durable event, p50', STORES[store], `${figures.p50_ms} ms`, '≤ 2 ms', figures.p50_ms <= 2),
    row('added latency of a durable event, p99', STORES[store], `${figures.p99_ms} ms`, '≤ 10 ms', figures.p99_ms <= 10),
  ];
  return { rows, details: { events: EVENTS, beside_mb_s_with_envelopes: round(besideRate), ...figures } };
}
