// A fresh question, from request to answer: askd, the bare CLI, and a plain Node server, in turns.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { ask, askdEnvironment, median, milliseconds, quantile, quietVariables, root, round, scratch, startServer, table } from './lib.mjs';

const PROMPT = '[[text:hello]]';
const WARM_UP = 3;

export async function measureCold({ askd, model, cli, node, pairs }) {
  const upstream = await startServer(model, ['--listen', '127.0.0.1:0'], {});
  const credentials = { ANTHROPIC_BASE_URL: upstream.url, ANTHROPIC_API_KEY: 'sk-scripted-model' };
  const server = await startServer(askd, ['serve'], askdEnvironment('askd-cold', cli, credentials));
  // One home for all bare runs, warm after the first: what a person has at hand, not what askd makes anew each time.
  const quiet = { PATH: process.env.PATH, HOME: scratch('home'), ...credentials, ...quietVariables() };
  const workspace = scratch('workspace');
  const baseline = await startServer(node, [path.join(root, 'bench/baseline/node-ask.mjs')], {
    ...quiet,
    HOME: scratch('node-home'),
    BENCH_CLI: cli,
    BENCH_WORKSPACE: workspace,
  });
  const arms = {
    bare: () => bare(cli, quiet, workspace),
    askd: () => ask(server.url, PROMPT),
    node: () => ask(baseline.url, PROMPT),
  };
  const times = { bare: [], askd: [], node: [] };
  for (let turn = -WARM_UP; turn < pairs; turn += 1) {
    // Each arm is first, second and third equally often.
    const names = Object.keys(arms);
    const order = names.map((_, index) => names[(index + turn + WARM_UP) % names.length]);
    for (const name of order) {
      const begun = process.hrtime.bigint();
      const result = await arms[name]();
      const took = milliseconds(begun);
      if (result.result !== 'hello') throw new Error(`${name} answered ${JSON.stringify(result)}`);
      if (turn >= 0) times[name].push(took);
      // What follows an answer (the end of the process, the clean-up) is not to be measured as part of the next one.
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  }
  await Promise.all([server.stop(), baseline.stop(), upstream.stop()]);
  return summary(times, pairs);
}

function bare(cli, env, cwd) {
  return new Promise((resolve, reject) => {
    const args = ['-p', '--output-format', 'json', PROMPT];
    const child = spawn(cli, args, { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.on('error', reject);
    child.on('close', () => resolve(JSON.parse(Buffer.concat(output).toString())));
  });
}

function summary(times, pairs) {
  const arms = {};
  for (const [name, values] of Object.entries(times)) {
    arms[name] = {
      p50_ms: round(median(values)),
      p95_ms: round(quantile(values, 0.95)),
      ratio_of_medians: round(median(values) / median(times.bare), 3),
      median_of_ratios: round(median(values.map((value, index) => value / times.bare[index])), 3),
      times_ms: values.map((value) => round(value)),
    };
  }
  return { pairs, arms };
}

export function coldTable({ arms }) {
  const label = { bare: 'bare `claude -p`', askd: 'askd, `POST /ask`', node: '`bench/baseline/node-ask.mjs`' };
  const rows = Object.entries(arms).map(([name, arm]) =>
    [label[name], arm.p50_ms, arm.p95_ms, arm.ratio_of_medians, arm.median_of_ratios]);
  return table(['cold question', 'p50 ms', 'p95 ms', 'p50 / bare p50', 'median of paired ratios'], rows);
}
