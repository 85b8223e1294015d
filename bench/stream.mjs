// Throughput of one stream: a stub CLI that writes as fast as it is read, through askd and through a plain Node server.
import path from 'node:path';
import { askdEnvironment, median, milliseconds, post, quantile, resident, root, round, scratch, startServer, table } from './lib.mjs';

const BYTES = 256 * 1024 * 1024;
const LINES = [1024, 4096];

export async function measureStream({ askd, stub, node, rounds }) {
  const limits = { ASKD_MAX_OUTPUT: '8GiB' };
  const server = await startServer(askd, ['serve'], askdEnvironment('askd-stream', stub, limits));
  const baseline = await startServer(node, [path.join(root, 'bench/baseline/node-sse.mjs')], {
    PATH: process.env.PATH,
    BENCH_CLI: stub,
    BENCH_WORKSPACE: scratch('workspace'),
  });
  const servers = { node: baseline, askd: server };
  const results = [];
  for (const line of LINES) {
    const rates = { node: [], askd: [] };
    for (let turn = -1; turn < rounds; turn += 1) {
      const names = turn % 2 === 0 ? ['node', 'askd'] : ['askd', 'node'];
      for (const name of names) {
        const rate = await flood(servers[name].url, line);
        if (turn >= 0) rates[name].push(rate);
      }
    }
    const paired = rates.askd.map((rate, index) => rate / rates.node[index]);
    results.push({
      line_bytes: line,
      node_mb_s: round(median(rates.node)),
      askd_mb_s: round(median(rates.askd)),
      askd_mb_s_p5: round(quantile(rates.askd, 0.05)),
      ratio_of_medians: round(median(rates.askd) / median(rates.node), 2),
      median_of_ratios: round(median(paired), 2),
    });
  }
  const memory = { askd: resident(server.pid), node: resident(baseline.pid) };
  await Promise.all([server.stop(), baseline.stop()]);
  return { bytes: BYTES, rounds, results, resident_after_mib: memory };
}

/** MB/s from the request to the end of the answer, and a check that everything came. */
async function flood(url, line) {
  let bytes = 0;
  let tail = '';
  const begun = process.hrtime.bigint();
  const status = await post(url, { prompt: `flood:${BYTES}:${line}`, stream: true }, (chunk) => {
    bytes += chunk.length;
    tail = chunk.length > 100 ? chunk.subarray(-100).toString() : tail + chunk.toString();
  });
  const took = milliseconds(begun);
  if (status !== 200 || bytes < BYTES || !/event: done\s+data: \{"code":0\}/.test(tail)) {
    throw new Error(`${url} streamed ${bytes} bytes with status ${status} and ended with ${tail}`);
  }
  return bytes / 1e3 / took;
}

export function streamTable({ results }) {
  const rows = results.map((row) =>
    [`${row.line_bytes} B`, row.node_mb_s, row.askd_mb_s, row.ratio_of_medians, row.median_of_ratios]);
  return table(['stream, lines of', 'node-sse.mjs MB/s', 'askd MB/s', 'ratio of medians', 'median of paired ratios'], rows);
}
