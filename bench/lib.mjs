// What every measurement needs: processes that end with this one, requests, and honest statistics.
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const run = promisify(execFile);
export const KEY = 'a-key-for-the-benchmark';

/** Processes that this run started and that have not ended yet. */
const started = new Set();
let folder;

/** A folder of this run, removed at the end. Others may pass through, for PostgreSQL runs as its own user. */
export function scratch(...names) {
  if (!folder) {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'askd-bench-'));
    fs.chmodSync(folder, 0o711);
  }
  const made = path.join(folder, ...names);
  fs.mkdirSync(made, { recursive: true });
  return made;
}

/** Ends everything that was started here, and nothing else; askd before its database. */
export async function cleanUp() {
  for (const server of [...started].reverse()) await server.stop();
  if (folder) fs.rmSync(folder, { recursive: true, force: true });
}

/** Starts a process; its environment is `env` and nothing else. `ready(output)` says when, and what it is worth. */
export async function startProcess(command, args, env, { ready, signal = 'SIGTERM', cwd }) {
  const begun = process.hrtime.bigint();
  const child = spawn(command, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  const server = {
    pid: child.pid,
    begun,
    async stop() {
      started.delete(server);
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(late);
    },
  };
  started.add(server);
  server.value = await new Promise((resolve, reject) => {
    const look = (chunk) => {
      output = (output + chunk).slice(-64_000);
      const value = ready(output);
      if (value) resolve(value);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.on('error', reject);
    ended.then(() => reject(new Error(`${command} ended before it was ready:\n${output}`)));
  });
  return server;
}

/** Starts a server that prints its address. */
export async function startServer(command, args, env) {
  const ready = (output) => /listens on (http:\/\/[0-9.]+:\d+)/.exec(output)?.[1];
  const server = await startProcess(command, args, env, { ready });
  server.url = server.value;
  server.address = server.url.slice('http://'.length);
  return server;
}

/** The fixed variables that askd gives the CLI, so that the bare CLI is as quiet. */
export function quietVariables() {
  const source = fs.readFileSync(path.join(root, 'crates/claude/src/environment.rs'), 'utf8');
  const list = /const FIXED[^=]*= \[([\s\S]*?)\n\];/.exec(source)[1];
  return Object.fromEntries([...list.matchAll(/\("([A-Z_0-9]+)", "([^"]*)"\)/g)].map((match) => match.slice(1)));
}

const agent = new http.Agent({ keepAlive: true });

/** A request with JSON; gives the status and the JSON of the answer. */
export function call(url, method, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'x-api-key': KEY };
    const request = http.request(url, { method, headers, agent }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        try {
          resolve({ status: response.statusCode, body: text && JSON.parse(text) });
        } catch {
          reject(new Error(`${method} ${url} answered ${response.statusCode}: ${text}`));
        }
      });
    });
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}

/** A request whose answer must have this status. */
export async function expect(status, url, method, body) {
  const answer = await call(url, method, body);
  if (answer.status !== status) throw new Error(`${method} ${url} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Submits a run that works on its own. */
export const submit = (server, prompt) => expect(202, `${server.url}/v1/runs`, 'POST', { prompt });

/** Waits for the end of a run, which has to be good. */
export async function completed(server, id) {
  for (;;) {
    const found = await expect(200, `${server.url}/v1/runs/${id}`, 'GET');
    if (found.state === 'completed') return found;
    if (found.finished_at) throw new Error(`the run has ended otherwise: ${JSON.stringify(found)}`);
    await sleep(20);
  }
}

/** What the Rust client reports. */
export async function client(context, command, options) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await run(context.client, [command, ...args], { maxBuffer: 64 << 20 });
  return JSON.parse(stdout);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

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

/** A figure of /proc/PID/status in MB: VmRSS is what is resident now, VmHWM the most that ever was, RssAnon without files. */
export function memory(pid, field = 'VmRSS') {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return (Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)[1]) * 1024) / 1e6;
}

/** Processor time of a process so far, in seconds. */
export function processorTime(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export const seconds = (ms) => `${round(ms / 1e3, 2)} s`;
