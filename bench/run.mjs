// All measurements, as one table and as JSON. Called by scripts/bench, which builds what is measured.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { STORES } from './askd.mjs';
import { measureCold } from './cold.mjs';
import { measureFollowers } from './followers.mjs';
import { measureIdle } from './idle.mjs';
import { measureLatency } from './latency.mjs';
import { cleanUp, root } from './lib.mjs';
import { keep, machine, markdown, row } from './report.mjs';
import { measureSlow } from './slow.mjs';
import { measureStream } from './stream.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bin: { type: 'string', default: path.join(root, 'target/release') },
    store: { type: 'string', default: 'both' },
    pairs: { type: 'string', default: '24' },
    rounds: { type: 'string', default: '4' },
  },
});
const stores = options.store === 'both' ? Object.keys(STORES) : [options.store];
const context = {
  askd: path.join(options.bin, 'askd'),
  model: path.join(options.bin, 'scripted-model'),
  stub: path.join(options.bin, 'examples/stub-flood'),
  client: path.join(options.bin, 'examples/bench-client'),
  // Only one measurement needs the real CLI.
  cli: () => process.env.ASKD_CLAUDE_BIN || execFileSync(path.join(root, 'scripts/install-cli')).toString().trim(),
  pairs: Number(options.pairs),
  rounds: Number(options.rounds),
};
/** One store after the other. */
const each = (measure) => async () => {
  const parts = {};
  for (const store of stores) parts[store] = await measure(context, store);
  return {
    rows: Object.values(parts).flatMap((part) => part.rows),
    details: Object.fromEntries(Object.entries(parts).map(([store, part]) => [store, part.details])),
  };
};
const measurements = {
  idle: each(measureIdle),
  // These compare all arms in turns.
  cold: () => measureCold(context, stores),
  latency: each(measureLatency),
  slow: each(measureSlow),
  followers: each(measureFollowers),
  // Last: it leaves gigabytes to be freed, which file systems that discard freed blocks do while others wait.
  stream: () => measureStream(context, stores),
};
const parts = positionals.length > 0 ? positionals : Object.keys(measurements);
for (const part of parts) {
  if (!(part in measurements)) throw new Error(`there is no measurement "${part}"; there are ${Object.keys(measurements).join(', ')}`);
}
if (!stores.every((store) => store in STORES)) throw new Error('--store is sqlite, postgres or both');
for (const needed of [context.askd, context.model, context.stub, context.client]) {
  if (!fs.existsSync(needed)) throw new Error(`${needed} is missing; run scripts/bench`);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await cleanUp();
    process.exit(1);
  });
}
const results = { date: new Date().toISOString(), machine: machine(stores), rows: [], details: {} };
try {
  for (const part of parts) {
    const begun = Date.now();
    try {
      const { rows, details } = await measurements[part]();
      results.rows.push(...rows);
      results.details[part] = details;
    } catch (error) {
      // The others can still be measured.
      console.error(`bench: ${part}: ${error.stack}`);
      results.rows.push({ ...row(part, '', 'see the error above'), error: String(error) });
      process.exitCode = 1;
    }
    console.error(`bench: ${part} took ${Math.round((Date.now() - begun) / 1000)} s`);
  }
} finally {
  await cleanUp();
}
keep(results);
console.log(markdown(results));
