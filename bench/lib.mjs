// What every measurement needs: processes that end with this one, requests, and honest statistics.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Processes that this run started and that have not ended yet. */
const started = new Set();
let folder;

/** A folder of this run, removed at the end. */
export function scratch(...names) {
  folder ??= fs.mkdtempSync(path.join(os.tmpdir(), 'askd-bench-'));
  const made = path.join(folder, ...names);
  fs.mkdirSync(made, { recursive: true });
  return made;
}

/** Ends everything that was started here, and nothing else. */
export async function cleanUp() {
  await Promise.all([...started].map((server) => server.stop()));
  if (folder) fs.rmSync(folder, { recursive: true, force: true });
}

/**
 * Starts a server and waits for the address that it prints. Its environment is `env` and nothing else.
 */
export async function startServer(command, args, env) {
  const begun = process.hrtime.bigint();
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  const server = {
    pid: child.pid,
    env,
    async stop() {
      started.delete(server);
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
    },
  };
  started.add(server);
  server.url = await new Promise((resolve, reject) => {
    const look = (chunk) => {
      output = (output + chunk).slice(-64_000);
      const address = /listens on (http:\/\/[0-9.]+:\d+)/.exec(output);
      if (address) {
        server.startMs ??= milliseconds(begun);
        resolve(address[1]);
      }
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.on('error', reject);
    ended.then(() => reject(new Error(`${command} ended before it listened:\n${output}`)));
  });
  return server;
}

/** The environment of an askd with folders of its own. */
export function askdEnvironment(name, cli, more = {}) {
  return {
    PATH: process.env.PATH,
    API_KEY: 'a-key-for-the-benchmark',
    ASKD_LISTEN: '127.0.0.1:0',
    ASKD_CLAUDE_BIN: cli,
    CONFIG_DIR: scratch(name, 'config'),
    WORKSPACE_DIR: scratch(name, 'workspace'),
    ASKD_DATA_DIR: scratch(name, 'data'),
    ...(process.getuid() === 0 ? { ASKD_ALLOW_ROOT: '1' } : {}),
    ...more,
  };
}

/** The fixed variables that askd gives the CLI, so that the bare CLI is as quiet. */
export function quietVariables() {
  const source = fs.readFileSync(path.join(root, 'crates/claude/src/environment.rs'), 'utf8');
  const list = /const FIXED[^=]*= \[([\s\S]*?)\n\];/.exec(source)[1];
  return Object.fromEntries([...list.matchAll(/\("([A-Z_0-9]+)", "([^"]*)"\)/g)].map((match) => match.slice(1)));
}

const agent = new http.Agent({ keepAlive: true });

/** POSTs to /ask; `onData` sees each chunk of the answer. */
export function post(url, body, onData) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'x-api-key': 'a-key-for-the-benchmark' };
    const request = http.request(`${url}/ask`, { method: 'POST', headers, agent }, (response) => {
      response.on('data', onData);
      response.on('error', reject);
      response.on('end', () => resolve(response.statusCode));
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

/** POSTs to /ask and returns the answer; anything but a 200 is an error. */
export async function ask(url, prompt) {
  const chunks = [];
  const status = await post(url, { prompt }, (chunk) => chunks.push(chunk));
  const text = Buffer.concat(chunks).toString();
  if (status !== 200) throw new Error(`${url} answered ${status}: ${text}`);
  return JSON.parse(text);
}

export const milliseconds = (since) => Number(process.hrtime.bigint() - since) / 1e6;

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [Math.floor(at), Math.ceil(at)];
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

export const median = (values) => quantile(values, 0.5);

export function round(number, digits = 1) {
  return Number(number.toFixed(digits));
}

/** Resident memory of a process in MiB, with the part of it that no file backs. */
export function resident(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (field) => round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)[1]) / 1024);
  return { resident: mib('VmRSS'), anonymous: mib('RssAnon') };
}

export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** What a run was measured on. */
export function machine() {
  return {
    cpus: os.cpus().length,
    model: os.cpus()[0]?.model.trim() ?? 'unknown',
    kernel: os.release(),
    memory_gib: round(os.totalmem() / 2 ** 30),
    load_before: round(os.loadavg()[0], 2),
    node: process.version,
  };
}
