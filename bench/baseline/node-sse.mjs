// The plainest stream, as a baseline: POST /ask starts the CLI, splits its output into lines and writes each as a
// server-sent event. It heeds a full socket, as a server must that is to survive a slow reader. No store, no limits.
import { spawn } from 'node:child_process';
import http from 'node:http';
import readline from 'node:readline';

const cli = process.env.BENCH_CLI;

async function stream(prompt, response) {
  const child = spawn(cli, ['-p', '--output-format', 'stream-json', '--verbose', prompt], {
    cwd: process.env.BENCH_WORKSPACE,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const lines = readline.createInterface({ input: child.stdout, crlfDelay: Infinity });
  const closed = new Promise((resolve) => child.on('close', resolve));
  lines.on('line', (line) => {
    if (!response.write(`data: ${line}\n\n`)) {
      lines.pause();
      child.stdout.pause();
      response.once('drain', () => {
        child.stdout.resume();
        lines.resume();
      });
    }
  });
  const ended = new Promise((resolve) => lines.on('close', resolve));
  const code = await closed;
  await ended;
  response.end(`event: done\ndata: {"code":${code}}\n\n`);
}

const server = http.createServer((request, response) => {
  const body = [];
  request.on('data', (chunk) => body.push(chunk));
  request.on('end', () => stream(JSON.parse(Buffer.concat(body).toString()).prompt, response));
});

server.listen(0, '127.0.0.1', () => console.log(`listens on http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
