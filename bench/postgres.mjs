// A private PostgreSQL with its ordinary durability: no port, a folder of its own, gone with this process.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { run, scratch, startProcess } from './lib.mjs';

let cluster;

/** The URL of a new, empty database. */
export async function database(name) {
  cluster ??= open();
  const { bin, folder } = await cluster;
  const database = `bench_${name.replaceAll(/[^a-z]/g, '_')}`;
  await run(path.join(bin, 'psql'), ['-q', '-h', folder, '-U', 'postgres', '-c', `CREATE DATABASE ${database}`]);
  return `postgres://postgres@localhost/${database}?host=${folder}`;
}

/** What it is, for the report. */
export function postgresVersion() {
  return execFileSync(path.join(binaries(), 'postgres'), ['--version']).toString().trim();
}

/** The newest of the Debian packages, or what is on the PATH. */
function binaries() {
  const debian = '/usr/lib/postgresql';
  const versions = fs.existsSync(debian) ? fs.readdirSync(debian).sort((a, b) => b - a) : [];
  const folders = [...versions.map((version) => path.join(debian, version, 'bin')), ...process.env.PATH.split(':')];
  const found = folders.find((folder) => fs.existsSync(path.join(folder, 'postgres')));
  if (!found) throw new Error('PostgreSQL is missing; install the package `postgresql`, or give --store sqlite');
  return found;
}

async function open() {
  const bin = binaries();
  const folder = scratch('postgres');
  // Dies with this process. PostgreSQL refuses to run as root.
  const prefix = ['--pdeathsig', 'KILL'];
  if (process.getuid() === 0) {
    const id = (flag) => Number(execFileSync('id', [flag, 'postgres']));
    fs.chownSync(folder, id('-u'), id('-g'));
    prefix.push('--reuid=postgres', '--regid=postgres', '--clear-groups');
  }
  prefix.push('--');
  const data = path.join(folder, 'data');
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' };
  const form = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-instructions'];
  await run('setpriv', [...prefix, path.join(bin, 'initdb'), '-D', data, ...form], { env, cwd: folder });
  const args = [...prefix, path.join(bin, 'postgres'), '-D', data, '-k', folder, '-c', 'listen_addresses='];
  const ready = (output) => output.includes('database system is ready to accept connections');
  await startProcess('setpriv', args, env, { ready, signal: 'SIGINT', cwd: folder });
  return { bin, folder };
}
