// Many followers of one run, each of which gets every event in order: while it happens, and afterwards from the store.
import fs from 'node:fs';
import path from 'node:path';
import { STORES, askd } from './askd.mjs';
import { KEY, client, completed, memory, round, submit } from './lib.mjs';
import { row } from './report.mjs';

const FOLLOWERS = 1000;
const EVENTS = 10_000;
const LENGTH = 300;
const MOST_S = 60;
const MOST_MB = 200;

export async function measureFollowers(context, store) {
  const limits = { ASKD_MAX_CONNECTIONS: String(4 * FOLLOWERS) };
  const instance = await askd(context, 'followers', store, context.stub, limits);
  const go = path.join(instance.workspace, 'bench-go');
  let server = await instance.start();
  const { id } = await submit(server, `wait:${EVENTS}:${LENGTH}`);
  const live = await follow(context, server, id, { go });
  await completed(server, id);
  await server.stop();
  fs.rmSync(go);
  // A server that has nothing of the run in memory.
  server = await instance.start();
  const stored = await follow(context, server, id, {});
  await server.stop();
  return {
    rows: [...rows('while it runs', store, live), ...rows('after its end', store, stored)],
    details: { live, stored },
  };
}

async function follow(context, server, id, more) {
  const options = { address: server.address, path: `/v1/runs/${id}/events`, key: KEY, count: FOLLOWERS, least: EVENTS, length: LENGTH };
  const read = await client(context, 'followers', { ...options, ...more });
  return { ...read, peak_mb: round(memory(server.pid, 'VmHWM')) };
}

function rows(when, store, { seconds, peak_mb: peak, bytes }) {
  const name = `${FOLLOWERS} followers × ${EVENTS} events, ${when}`;
  const rate = round((FOLLOWERS * bytes) / 1e6 / seconds);
  return [
    row(`${name}: time`, STORES[store], `${round(seconds)} s (${rate} MB/s)`, `≤ ${MOST_S} s`, seconds <= MOST_S),
    row(`${name}: memory`, STORES[store], `${peak} MB`, `≤ ${MOST_MB} MB`, peak <= MOST_MB),
  ];
}
