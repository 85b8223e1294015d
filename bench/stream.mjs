// Throughput of one stream: a stub CLI that writes as fast as it is read, through askd with its durable log and through a
// plain Node server without any. Bytes are those that the CLI wrote; one reader for all.
import path from 'node:path';
import { STORES, startForOutput } from './askd.mjs';
import { KEY, client, median, processorTime, root, round, run, scratch, sleep, startServer } from './lib.mjs';
import { row } from './report.mjs';

const BYTES = 256 * 1024 * 1024;
const LINES = [1024, 4096];
const TARGETS = { sqlite: 1.0, postgres: 0.4 };
/** What follows a run (its process's end, checkpoints) is not to be measured as part of the next one. */
const PAUSE_MS = 400;

export async function measureStream(context, stores) {
  const node = await startServer(process.execPath, [path.join(root, 'bench/baseline/node-sse.mjs')], {
    PATH: process.env.PATH,
    BENCH_CLI: context.stub,
    BENCH_WORKSPACE: scratch('workspace'),
  });
  const arms = { node: legacy(node) };
  for (const store of stores) {
    const server = await startForOutput(context, 'stream', store);
    arms[`${store}-ask`] = legacy(server);
    arms[`${store}-v1`] = v1(server);
  }
  const details = { bytes: BYTES, rounds: context.rounds, lines: {} };
  const rows = [];
  for (const line of LINES) {
    const results = await inTurns(context, arms, line);
    const { stdout } = await run(context.stub, ['ratio', String(line)]);
    const { text, log_level: log, level_1: ordinary } = JSON.parse(stdout);
    details.lines[line] = { zstd_ratio: { of_the_log: round(text / log, 2), level_1: round(text / ordinary, 2) }, arms: results };
    rows.push(row(`stream, lines of ${line} B: \`node-sse.mjs\``, 'none', `${results.node.mb_s} MB/s`));
    for (const store of stores) {
      for (const [arm, route] of [[`${store}-ask`, '`/ask`'], [`${store}-v1`, '`/v1/runs`']]) {
        const { mb_s: rate, median_of_ratios: ratio } = results[arm];
        const value = `${ratio} × (${rate} MB/s)`;
        rows.push(row(`stream, lines of ${line} B: ${route}`, STORES[store], value, `≥ ${TARGETS[store].toFixed(1)} ×`, ratio >= TARGETS[store]));
      }
    }
  }
  for (const { server } of Object.values(arms)) await server.stop();
  return { rows, details };
}

const legacy = (server) => ({
  server,
  path: '/ask',
  body: (prompt) => ({ prompt, stream: true }),
  isWhole: ({ lines, tail }, events) => lines >= 2 * events && /event: done\s+data: \{"code":0\}\s+$/.test(tail),
});

const v1 = (server) => ({
  server,
  path: '/v1/runs',
  body: (prompt) => ({ prompt }),
  isWhole: ({ lines, tail }, events) => lines >= 4 * events && /event: run\.completed\ndata: .*\s+$/.test(tail),
});

async function inTurns(context, arms, line) {
  const names = Object.keys(arms);
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  const busy = Object.fromEntries(names.map((name) => [name, []]));
  for (let turn = -1; turn < context.rounds; turn += 1) {
    for (let place = 0; place < names.length; place += 1) {
      const name = names[(place + turn + 1) % names.length];
      const before = processorTime(arms[name].server.pid);
      const rate = await flood(context, arms[name], line);
      if (turn >= 0) {
        rates[name].push(rate);
        busy[name].push(processorTime(arms[name].server.pid) - before);
      }
      await sleep(PAUSE_MS);
    }
  }
  return Object.fromEntries(names.map((name) => [name, {
    mb_s: round(median(rates[name])),
    ratio_of_medians: round(median(rates[name]) / median(rates.node), 2),
    median_of_ratios: round(median(rates[name].map((rate, turn) => rate / rates.node[turn])), 2),
    processor_s_per_gb: round(median(busy[name]) / (BYTES / 1e9), 2),
    all_mb_s: rates[name].map((rate) => round(rate)),
  }]));
}

/** MB/s of payload from the request to the end of the answer, and a check that everything came. */
async function flood(context, arm, line) {
  const body = JSON.stringify(arm.body(`flood:${BYTES}:${line}`));
  const options = { address: arm.server.address, path: arm.path, key: KEY, accept: 'text/event-stream', body };
  const read = await client(context, 'stream', options);
  if (read.bytes < BYTES || !arm.isWhole(read, BYTES / line)) {
    throw new Error(`${arm.path} streamed ${JSON.stringify(read)}`);
  }
  return BYTES / 1e6 / read.seconds;
}
