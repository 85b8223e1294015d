// All measurements, as Markdown and JSON. Called by scripts/bench, which builds what is measured.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { coldTable, measureCold } from './cold.mjs';
import { idleTable, measureIdle } from './idle.mjs';
import { cleanUp, machine, root } from './lib.mjs';
import { measureStream, streamTable } from './stream.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bin: { type: 'string', default: path.join(root, 'target/release') },
    cli: { type: 'string' },
    pairs: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '5' },
  },
});
const parts = positionals.length > 0 ? positionals : ['idle', 'cold', 'stream'];
const context = {
  askd: path.join(options.bin, 'askd'),
  model: path.join(options.bin, 'scripted-model'),
  stub: path.join(options.bin, 'examples/stub-flood'),
  cli: options.cli,
  node: process.execPath,
  pairs: Number(options.pairs),
  rounds: Number(options.rounds),
};
const measurements = {
  idle: [measureIdle, idleTable],
  cold: [measureCold, coldTable],
  stream: [measureStream, streamTable],
};
for (const part of parts) {
  if (!(part in measurements)) throw new Error(`there is no measurement "${part}"; there are ${Object.keys(measurements).join(', ')}`);
}
for (const needed of [context.askd, context.model, context.stub, context.cli]) {
  if (!fs.existsSync(needed)) throw new Error(`${needed} is missing; run scripts/bench`);
}

const results = { date: new Date().toISOString(), machine: machine() };
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await cleanUp();
    process.exit(1);
  });
}
try {
  for (const part of parts) {
    const [measure, show] = measurements[part];
    results[part] = await measure(context);
    console.log(`${show(results[part])}\n`);
  }
} finally {
  await cleanUp();
}
console.log(`\`\`\`json\n${JSON.stringify(results)}\n\`\`\``);
