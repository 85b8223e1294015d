// Stands for the Node server in the tests of scripts/compare: the routes and shapes of claude-code-server 0.2, with the
// faults that its clients know (docs/install/migrate.md). PLANTED names further faults, which nobody expects.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const { API_KEY, CONFIG_DIR, WORKSPACE_DIR, CLAUDE } = process.env;
const planted = new Set((process.env.PLANTED ?? '').split(','));
const FIELDS = ['prompt', 'cwd', 'stream', 'maxTurns', 'agent', 'systemPrompt', 'model', 'allowedTools',
  'permissionMode', 'resume', 'jsonSchema'];
const FILES = {
  agents: (name) => `agents/${name}.md`,
  skills: (name) => `skills/${name}/SKILL.md`,
  rules: (name) => `rules/${name}.md`,
};

class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** Drops what it does not know, and converts types. */
function lenient(body) {
  const asked = Object.fromEntries(Object.entries(body).filter(([name]) => FIELDS.includes(name)));
  if (asked.maxTurns) asked.maxTurns = Number(asked.maxTurns);
  const isModel = ['sonnet', 'opus', 'haiku', undefined].includes(asked.model);
  if (!isModel) throw new Refusal(400, 'REQUEST_ERROR', 'body/model must be equal to one of the allowed values');
  if (!asked.prompt) throw new Refusal(400, 'REQUEST_ERROR', 'body/prompt must NOT have fewer than 1 characters');
  return asked;
}

/** Starts the CLI with everything in its arguments, and permissions skipped. */
function start(asked) {
  const cwd = path.resolve(WORKSPACE_DIR, asked.cwd ?? '.');
  if (!`${cwd}/`.startsWith(`${WORKSPACE_DIR}/`)) throw new Refusal(400, 'INVALID_CWD', 'cwd is outside');
  if (asked.agent && !fs.existsSync(path.join(CONFIG_DIR, FILES.agents(asked.agent)))) {
    throw new Refusal(400, 'AGENT_NOT_FOUND', `Agent '${asked.agent}' not found`);
  }
  const schema = asked.jsonSchema && `Respond with ONLY valid JSON that matches ${JSON.stringify(asked.jsonSchema)}`;
  const given = {
    resume: asked.resume,
    'max-turns': asked.maxTurns,
    agent: asked.agent,
    'system-prompt': [schema, asked.systemPrompt].filter(Boolean).join('\n\n'),
    model: asked.model,
    'permission-mode': asked.permissionMode,
  };
  const options = Object.entries(given).flatMap(([name, value]) => (value ? [`--${name}`, String(value)] : []));
  const tools = asked.allowedTools ? ['--allowed-tools', ...[asked.allowedTools].flat()] : [];
  const format = ['--output-format', ...(asked.stream ? ['stream-json', '--verbose'] : ['json'])];
  const all = ['-p', ...format, '--dangerously-skip-permissions', ...options, ...tools, '--', asked.prompt];
  return spawn(CLAUDE, all, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Judges by the exit code, and goes on at the turn limit. */
function answerInOnePiece(asked, further = 10) {
  return new Promise((resolve, reject) => {
    const child = start(asked);
    let said = '';
    child.stdout.on('data', (piece) => (said += piece));
    child.stderr.resume();
    child.on('error', reject);
    child.on('close', (code) => {
      const result = said && JSON.parse(said);
      if (result?.subtype === 'error_max_turns' && further > 0) {
        const next = { ...asked, prompt: 'Continue.', resume: result.session_id };
        return resolve(answerInOnePiece(next, further - 1));
      }
      if (code !== 0) return reject(new Error(`claude exited with code ${code}`));
      if (planted.has('no session')) delete result.session_id;
      if (planted.has('cost as text')) result.total_cost_usd = String(result.total_cost_usd);
      return resolve(result);
    });
  });
}

/** Without the request's id, and with what the CLI writes to stderr. */
function stream(asked, response) {
  const child = start(asked);
  const error = (text) => response.write(`event: error\ndata: ${JSON.stringify({ error: text })}\n\n`);
  let rest = '';
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (planted.has('stderr')) error('a warning of the CLI');
  child.stdout.on('data', (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop();
    lines.filter((line) => line.trim()).forEach((line) => response.write(`data: ${line}\n\n`));
  });
  child.stderr.on('data', (piece) => error(String(piece)));
  child.on('error', ({ message }) => error(message));
  child.on('close', (code) => {
    if (planted.has('a further event')) response.write('event: usage\ndata: {}\n\n');
    response.end(planted.has('no end') ? '' : `event: done\ndata: ${JSON.stringify({ code })}\n\n`);
  });
}

function list(kind, query) {
  const folder = path.join(CONFIG_DIR, kind);
  const files = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  // In another order than by name.
  const names = files.map((file) => file.replace(/\.md$/, '')).sort().reverse();
  const limit = Math.min(Number.parseInt(query.get('limit'), 10) || 50, 200);
  const offset = Math.max(Number.parseInt(query.get('offset'), 10) || 0, 0);
  const items = names.slice(offset, offset + limit).map((name) => {
    const text = fs.readFileSync(path.join(CONFIG_DIR, FILES[kind](name)), 'utf8');
    return { name, description: text.match(/^description: *(.+)$/m)?.[1] ?? null };
  });
  return { items, count: items.length, total: names.length + (planted.has('one more') ? 1 : 0), limit, offset };
}

/** One document: whatever is put is stored. */
function config(method, file, named, { content }) {
  const isThere = fs.existsSync(file);
  if (method === 'PUT') {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    return [isThere ? 200 : 201, named.name ? named : { updated: true }];
  }
  if (!isThere) throw new Refusal(404, 'NOT_FOUND', `${named.name ?? 'CLAUDE.md'} not found`);
  if (method === 'GET') return [200, { ...named, content: fs.readFileSync(file, 'utf8') }];
  fs.rmSync(file);
  return [204];
}

let turnedAway = 0;

async function route(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://old');
  const [, first, kind, name] = pathname.split('/');
  const method = request.method;
  if (method === 'GET' && pathname === '/health') {
    const concurrency = { active: 0, max: 3, queued: 0 };
    // With a letter that some terminals obey.
    const status = planted.has('a status with the key') ? `${API_KEY}\u009b2J` : 'ok';
    return [200, { status, version: '0.2.0', concurrency }];
  }
  const isEarly = planted.has('asks for rest') && (turnedAway += 1) < 3;
  if (isEarly) throw new Refusal(429, 'REQUEST_ERROR', 'Rate limit exceeded');
  if (request.headers['x-api-key'] !== API_KEY) throw new Refusal(401, 'UNAUTHORIZED', 'Invalid or missing API key');
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = pieces.length > 0 ? JSON.parse(Buffer.concat(pieces)) : {};
  if (method === 'POST' && first === 'ask') {
    const asked = lenient(body);
    return asked.stream ? stream(asked, response) : [200, await answerInOnePiece(asked)];
  }
  if (first === 'config' && kind === 'claude-md') return config(method, path.join(CONFIG_DIR, 'CLAUDE.md'), {}, body);
  if (first === 'config' && FILES[kind] && !name && method === 'GET') return [200, list(kind, searchParams)];
  if (first === 'config' && FILES[kind] && name) {
    return config(method, path.join(CONFIG_DIR, FILES[kind](name)), { name }, body);
  }
  return [404, { message: `Route ${method}:${request.url} not found`, error: 'Not Found', statusCode: 404 }];
}

const server = http.createServer(async (request, response) => {
  const requestId = planted.has('its own ids') ? 'another' : request.headers['x-request-id'] ?? 'mine';
  const refusal = (error) => {
    const { status = 500, code, message } = error instanceof Refusal ? error : {};
    const known = code ? { code, message } : { code: 'INTERNAL_ERROR', message: 'Internal server error' };
    return [status, { error: { ...known, requestId } }];
  };
  const answer = await route(request, response).catch(refusal);
  // A stream has begun already.
  if (!answer || planted.has('silence') || (planted.has('silence on rules') && request.url === '/config/rules')) return;
  const [status, body] = answer;
  const type = planted.has('another type') ? 'text/json' : 'application/json';
  if (status === 429) response.setHeader('retry-after', '0');
  response.writeHead(status, { 'x-request-id': requestId, ...(body && { 'content-type': `${type}; charset=utf-8` }) });
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  if (planted.has('depth')) response.end(deep);
  else if (planted.has('a deep code')) response.end(`{"error": {"code": ${deep}}}`);
  else response.end(body && JSON.stringify(body));
});

server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
// It ends with whoever has started it.
process.stdin.on('end', () => process.exit(0)).resume();
