// A client that reads nothing of a run's 500 MB: what it costs in memory, and whether the run notices.
import net from 'node:net';
import { STORES, startForOutput } from './askd.mjs';
import { KEY, completed, memory, median, round, seconds, sleep, submit } from './lib.mjs';
import { row } from './report.mjs';

const BYTES = 500_000_000;
const PROMPT = `flood:${BYTES}:1024`;
const PAIRS = 2;
const MOST_MB = 32;
/** What counts as the run's normal time: pairs on a shared machine differ by as much. */
const NORMAL = 1.25;

export async function measureSlow(context, store) {
  const server = await startForOutput(context, 'slow', store);
  await sleep(1000);
  const idle = memory(server.pid);
  const times = { stalled: [], alone: [] };
  let peak = 0;
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const stalled = await stalledClient(server);
    const watch = setInterval(() => { peak = Math.max(peak, memory(server.pid)); }, 20);
    times.stalled.push(duration(await completed(server, stalled.run)));
    clearInterval(watch);
    stalled.leave();
    const { id } = await submit(server, PROMPT);
    times.alone.push(duration(await completed(server, id)));
  }
  await server.stop();
  const more = peak - idle;
  const ratio = median(times.stalled) / median(times.alone);
  const value = `${round(ratio, 2)} × the time without it (${seconds(median(times.stalled))})`;
  return {
    rows: [
      row('memory with a client that reads nothing of 500 MB', STORES[store], `+${round(more)} MB`, `≤ +${MOST_MB} MB`, more <= MOST_MB),
      row('that run completes in its normal time', STORES[store], value, `≤ ${NORMAL} ×`, ratio <= NORMAL),
    ],
    details: { idle_mb: round(idle), peak_mb: round(peak), times_ms: times },
  };
}

const duration = (run) => Date.parse(run.finished_at) - Date.parse(run.started_at);

/** Starts a run with a stream, reads the head of the answer and then nothing more. */
function stalledClient(server) {
  return new Promise((resolve, reject) => {
    const [host, port] = server.address.split(':');
    const body = JSON.stringify({ prompt: PROMPT });
    const socket = net.connect({ host, port: Number(port) });
    socket.write(`POST /v1/runs HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${KEY}\r\naccept: text/event-stream\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    let head = '';
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.pause();
      const run = /^x-askd-run-id: (run_\S+)/im.exec(head)?.[1];
      if (!head.startsWith('HTTP/1.1 200') || !run) reject(new Error(head));
      resolve({ run, leave: () => socket.destroy() });
    });
    socket.on('error', reject);
  });
}
