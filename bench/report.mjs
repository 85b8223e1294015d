// What is printed and kept: the machine, one table, the figures.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { median, root, round, scratch } from './lib.mjs';
import { postgresVersion } from './postgres.mjs';

/** One line of the table. `met` is null where there is no target. */
export const row = (measure, store, value, target = '', met = null) => ({ measure, store, value, target, met });

/** What a run was measured on. */
export function machine(stores) {
  const output = (command, args) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim();
  const folder = scratch();
  return {
    cpus: os.cpus().length,
    model: os.cpus()[0]?.model.trim() ?? 'unknown',
    kernel: os.release(),
    memory_gib: round(os.totalmem() / 2 ** 30),
    file_system: output('stat', ['-f', '-c', '%T', folder]),
    fsync_ms: round(fsyncTime(folder), 2),
    load_before: round(os.loadavg()[0], 2),
    node: process.version,
    postgres: stores.includes('postgres') ? postgresVersion() : null,
    commit: attempt(() => output('git', ['describe', '--always', '--dirty'])),
  };
}

/** How long the disk takes to keep 4 KiB: what a durable event cannot be faster than. Median, in milliseconds. */
function fsyncTime(folder) {
  const name = path.join(folder, 'fsync');
  const file = fs.openSync(name, 'w');
  const times = [];
  for (let turn = 0; turn < 100; turn += 1) {
    const begun = performance.now();
    fs.writeSync(file, Buffer.alloc(4096, turn));
    fs.fdatasyncSync(file);
    times.push(performance.now() - begun);
  }
  fs.closeSync(file);
  fs.rmSync(name);
  return median(times);
}

function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}

export function markdown({ date, machine: on, rows }) {
  const postgres = on.postgres ? `, ${on.postgres}` : '';
  const head = `${date.slice(0, 16).replace('T', ' ')} UTC, ${on.cpus} × ${on.model}, ${on.memory_gib} GiB, Linux ${on.kernel}, ` +
    `${on.file_system} (fsync of 4 KiB: ${on.fsync_ms} ms), Node.js ${on.node}${postgres}, load before ${on.load_before}, commit ${on.commit}`;
  const verdict = { true: 'met', false: '**missed**', null: '' };
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const table = [
    line(['measure', 'store', 'measured', 'target', 'verdict']),
    line(Array(5).fill('---')),
    ...rows.map((row) => line([row.measure, row.store, row.value, row.target, row.error ? '**failed**' : verdict[row.met]])),
  ];
  return `${head}\n\n${table.join('\n')}\n`;
}

/** Keeps it where the next run replaces it. */
export function keep(results) {
  const folder = path.join(root, 'target/bench');
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'latest.json'), `${JSON.stringify(results, null, 1)}\n`);
  fs.writeFileSync(path.join(folder, 'latest.md'), markdown(results));
}
