// An askd with folders of its own, on either engine.
import { KEY, call, milliseconds, scratch, sleep, startServer } from './lib.mjs';
import { database } from './postgres.mjs';

export const STORES = { sqlite: 'SQLite', postgres: 'PostgreSQL' };
const LONGEST_START_MS = 30_000;

/**
 * What starts it, and starts it again with the same folders and database. `more` are further variables.
 */
export async function askd(context, name, store, cli, more = {}) {
  const env = {
    PATH: process.env.PATH,
    API_KEY: KEY,
    ANTHROPIC_API_KEY: 'sk-not-used',
    ASKD_LISTEN: '127.0.0.1:0',
    ASKD_CLAUDE_BIN: cli,
    CONFIG_DIR: scratch(name, store, 'config'),
    WORKSPACE_DIR: scratch(name, store, 'workspace'),
    ASKD_DATA_DIR: scratch(name, store, 'data'),
    ...(process.getuid() === 0 ? { ASKD_ALLOW_ROOT: '1' } : {}),
    ...(store === 'postgres' ? { ASKD_DATABASE_URL: await database(name) } : {}),
    // What is measured is not to be a refusal.
    ...Object.fromEntries(['ASK', 'CONFIG', 'RUNS', 'V1'].map((group) => [`ASKD_RATE_${group}`, '0'])),
    ...more,
  };
  const start = async () => {
    const server = await startServer(context.askd, ['serve'], env);
    while ((await call(`${server.url}/readyz`, 'GET')).status !== 200) {
      if (milliseconds(server.begun) > LONGEST_START_MS) throw new Error('askd listens and does not become ready');
      await sleep(1);
    }
    server.readyMs = milliseconds(server.begun);
    return server;
  };
  return { workspace: env.WORKSPACE_DIR, start };
}

/** A server for a run of much output. */
export async function startForOutput(context, name, store, more = {}) {
  const limits = { ASKD_MAX_OUTPUT: '64GiB', MAX_CONCURRENT: '4', ...more };
  return (await askd(context, name, store, context.stub, limits)).start();
}
