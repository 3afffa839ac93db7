/**
 * Point selects at a steady rate, as a process of its own, over raw connections: a query is due
 * every so often, whatever became of those before, and its latency counts from when it was due. It
 * prints what it measured, and begins anew, whenever something comes on its standard input, and
 * ends when that does.
 */
import type { Socket } from 'node:net';
import type { Connection } from 'mysql2/promise';
import { connect } from '../test/support/servers.js';

const [host = '', port = '', rate = '8000', connections = '16', rows = '100000'] =
  process.argv.slice(2);
const EVERY_MS = 1_000 / Number(rate);
/** Between two looks at the clock it sleeps for so long, so that a core is left to others. */
const SLEEP_MS = 0.1;
/** Latencies in steps of 10 µs, up to 10 s. */
const STEP_MS = 0.01;
const counts = new Uint32Array(1_000_000);
const EOF = 0xfe;
const EOF_PACKETS = 2;

interface Reader {
  readonly socket: Socket;
  pending: Buffer;
  eofs: number;
  /** When the query under way was due; null: it is idle, or what becomes of it doesn't count. */
  dueMs: number | null;
}

const readers: Reader[] = [];
const idle: Reader[] = [];
/** Due times of queries for which no connection was free. */
const waiting: number[] = [];
let [worstMs, done, isOver] = [0, 0, false];

for (let nr = 0; nr < Number(connections); nr++) {
  const connection = await connect(
    { host, port: Number(port), user: 'root', password: '' },
    // Its packets are written here.
    { flags: ['-CLIENT_QUERY_ATTRIBUTES'] },
  );
  readers.push(takeOver(connection));
}
idle.push(...readers);
process.stdin.on('end', () => {
  isOver = true;
});
const cell = new Int32Array(new SharedArrayBuffer(4));
let nextMs = performance.now();
process.stdin.on('data', () => {
  noteLate();
  process.stdout.write(`${figures()}\n`);
  counts.fill(0);
  [worstMs, done] = [0, 0];
  // What was due during the arithmetic is late because of that.
  nextMs = performance.now();
});
process.stdout.write('ready\n');
tick();

function tick(): void {
  if (isOver) return finish();
  for (const nowMs = performance.now(); nextMs <= nowMs; nextMs += EVERY_MS) {
    const reader = idle.pop();
    if (reader === undefined) waiting.push(nextMs);
    else send(reader, nextMs);
  }
  // What has arrived is read, then it sleeps for a moment.
  setImmediate(() => {
    if (nextMs - performance.now() > SLEEP_MS / 2) Atomics.wait(cell, 0, 0, SLEEP_MS);
    setImmediate(tick);
  });
}

function takeOver(connection: Connection): Reader {
  const { stream } = (connection as unknown as { connection: { stream: Socket } }).connection;
  stream.removeAllListeners('data');
  const reader: Reader = { socket: stream, pending: Buffer.alloc(0), eofs: 0, dueMs: null };
  stream.on('data', (chunk: Buffer) => take(reader, chunk));
  return reader;
}

function send(reader: Reader, dueMs: number): void {
  const id = 1 + Math.floor(Math.random() * Number(rows));
  const text = `\x03SELECT c FROM live.t WHERE id = ${id}`;
  const packet = Buffer.alloc(4 + text.length);
  packet.writeUIntLE(text.length, 0, 3);
  packet.write(text, 4, 'latin1');
  reader.dueMs = dueMs;
  reader.socket.write(packet);
}

function take(reader: Reader, chunk: Buffer): void {
  let bytes = reader.pending.length === 0 ? chunk : Buffer.concat([reader.pending, chunk]);
  while (bytes.length >= 4) {
    const length = bytes.readUIntLE(0, 3);
    if (bytes.length < 4 + length) break;
    if (bytes[4] === 0xff) throw new Error(`The server said ${bytes.toString('latin1', 4, 200)}`);
    if (bytes[4] === EOF && length < 9) reader.eofs++;
    bytes = bytes.subarray(4 + length);
  }
  reader.pending = bytes;
  if (reader.eofs < EOF_PACKETS) return;
  reader.eofs = 0;
  if (reader.dueMs !== null) note(performance.now() - reader.dueMs);
  reader.dueMs = null;
  const dueMs = waiting.shift();
  if (dueMs === undefined) idle.push(reader);
  else send(reader, dueMs);
}

function note(latencyMs: number): void {
  done++;
  worstMs = Math.max(worstMs, latencyMs);
  const step = Math.min(Math.floor(latencyMs / STEP_MS), counts.length - 1);
  counts[step] = (counts[step] ?? 0) + 1;
}

/** Those that have no answer yet are as late as they are by now, and count no more. */
function noteLate(): void {
  const nowMs = performance.now();
  for (const dueMs of [...waiting, ...readers.flatMap((one) => one.dueMs ?? [])]) {
    note(nowMs - dueMs);
  }
  waiting.length = 0;
  for (const reader of readers) reader.dueMs = null;
}

function finish(): void {
  noteLate();
  process.stdout.write(`${figures()}\n`, () => process.exit(0));
}

function figures(): string {
  const over30 = counts.subarray(30 / STEP_MS).reduce((sum, count) => sum + count, 0);
  const [p50Ms, p99Ms] = [quantile(0.5), quantile(0.99)];
  return JSON.stringify({ queries: done, p50Ms, p99Ms, worstMs, over30 });
}

function quantile(share: number): number {
  let left = done * share;
  for (const [step, count] of counts.entries()) {
    left -= count;
    if (left <= 0) return (step + 1) * STEP_MS;
  }
  return worstMs;
}
