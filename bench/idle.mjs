// What askd costs when nothing happens: start to listening, resident memory.
import { askdEnvironment, median, resident, round, startServer, table } from './lib.mjs';

const STARTS = 10;

export async function measureIdle({ askd, cli }) {
  const env = askdEnvironment('askd-idle', cli, { ANTHROPIC_API_KEY: 'sk-not-used' });
  // The first start tries the CLI; what it finds out is kept for the next ones.
  const first = await startServer(askd, ['serve'], env);
  await first.stop();
  const starts = [];
  let memory;
  for (let start = 0; start < STARTS; start += 1) {
    const server = await startServer(askd, ['serve'], env);
    starts.push(server.startMs);
    memory = resident(server.pid);
    await server.stop();
  }
  return { first_start_ms: round(first.startMs), start_ms_p50: round(median(starts)), memory_mib: memory };
}

export function idleTable({ first_start_ms: first, start_ms_p50: start, memory_mib: memory }) {
  return table(['idle server', 'value', 'target'], [
    ['start to listening, p50', `${start} ms`, '≤ 100 ms'],
    ['first start of all, with the trial of the CLI', `${first} ms`, ''],
    ['resident memory', `${memory.resident} MiB (${memory.anonymous} MiB anonymous)`, '≤ 25 MB'],
  ]);
}
