// The plainest server that could do the job, as a baseline: POST /ask starts `claude -p` with the prompt in argv, collects
// its output and answers with it. No queue, no private home, no limits, no clean-up.
import { spawn } from 'node:child_process';
import http from 'node:http';

const cli = process.env.BENCH_CLI;

const server = http.createServer((request, response) => {
  const body = [];
  request.on('data', (chunk) => body.push(chunk));
  request.on('end', () => {
    const { prompt } = JSON.parse(Buffer.concat(body).toString());
    const child = spawn(cli, ['-p', '--output-format', 'json', prompt], {
      cwd: process.env.BENCH_WORKSPACE,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => response.writeHead(500).end(String(error)));
    child.on('close', (code) => {
      const result = JSON.parse(Buffer.concat(output).toString());
      response.writeHead(code === 0 ? 200 : 500, { 'content-type': 'application/json' });
      response.end(JSON.stringify(result));
    });
  });
});

server.listen(0, '127.0.0.1', () => console.log(`listens on http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
