// A fresh question, from request to answer: askd, the bare CLI, and a plain Node server, in turns.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { STORES, askd } from './askd.mjs';
import { expect, median, milliseconds, quantile, quietVariables, root, round, scratch, sleep, startServer } from './lib.mjs';
import { row } from './report.mjs';

const PROMPT = '[[text:hello]]';
const WARM_UP = 3;

export async function measureCold(context, stores) {
  const cli = context.cli();
  const upstream = await startServer(context.model, ['--listen', '127.0.0.1:0'], {});
  const credentials = { ANTHROPIC_BASE_URL: upstream.url, ANTHROPIC_API_KEY: 'sk-scripted-model' };
  // One home for all bare runs, warm after the first: what a person has at hand, not what askd makes anew each time.
  const quiet = { PATH: process.env.PATH, HOME: scratch('home'), ...credentials, ...quietVariables() };
  const workspace = scratch('workspace');
  const node = await startServer(process.execPath, [path.join(root, 'bench/baseline/node-ask.mjs')], {
    ...quiet,
    HOME: scratch('node-home'),
    BENCH_CLI: cli,
    BENCH_WORKSPACE: workspace,
  });
  const ask = (server) => () => expect(200, `${server.url}/ask`, 'POST', { prompt: PROMPT });
  const servers = [upstream, node];
  const arms = { bare: () => bare(cli, quiet, workspace), node: ask(node) };
  for (const store of stores) {
    const server = await (await askd(context, 'cold', store, cli, credentials)).start();
    servers.push(server);
    arms[store] = ask(server);
  }
  const names = Object.keys(arms);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let turn = -WARM_UP; turn < context.pairs; turn += 1) {
    // Each arm is in each place equally often.
    const order = names.map((_, index) => names[(index + turn + WARM_UP) % names.length]);
    for (const name of order) {
      const begun = process.hrtime.bigint();
      const result = await arms[name]();
      const took = milliseconds(begun);
      if (result.result !== 'hello') throw new Error(`${name} answered ${JSON.stringify(result)}`);
      if (turn >= 0) times[name].push(took);
      // What follows an answer (the end of the process, the clean-up) is not to be measured as part of the next one.
      await sleep(150);
    }
  }
  for (const server of servers) await server.stop();
  const figures = summary(times);
  const shown = ({ p50_ms: p50, ratio_of_medians: ratio }) => `${ratio} × (${p50} ms)`;
  return {
    rows: [
      row('cold question: bare `claude -p`, p50', 'none', `${figures.bare.p50_ms} ms`),
      row('cold question: `node-ask.mjs`', 'none', shown(figures.node)),
      ...stores.map((store) => row('cold question: `POST /ask`', STORES[store], shown(figures[store]), '≤ 1.0 ×', figures[store].ratio_of_medians <= 1)),
    ],
    details: { pairs: context.pairs, arms: figures },
  };
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

function summary(times) {
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
  return arms;
}
