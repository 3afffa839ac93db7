/**
 * Random sequences of commands, said to the server directly and through the proxy: what the client
 * receives is the same to the byte, thread ids, times and the text of COM_STATISTICS aside. The
 * tracker of answers is imported, and fed with the server's: it has to be idle exactly where the
 * marker says that no answer is owed any more.
 */
import { jest } from '@jest/globals';
import { ResponseTracker } from '../../src/relay/response-tracker.js';
import { type Random, seededRandom } from '../support/dice.js';
import { onServers } from '../support/on-servers.js';
import { CommandMaker, FUZZ_SETUP, randomLogin, type Step } from '../support/random-commands.js';
import { sample, seedFor } from '../support/sample.js';
import { query, type TestServer } from '../support/servers.js';
import { type Heard, WireTalk } from '../support/wire-talk.js';

/** For each server, 25 sequences in each. */
const BATCHES = sample([...Array(50).keys()], { name: 'batches', count: 8 });
/** Some other sequences crash MySQL 9.7, also without a proxy. */
const SAFE_SEEDS = [902, 903, 904, 905, 906];
/** Sequences that one connection says, one behind the other, where it lives so long. */
const BATCH = 25;
const STEPS_MAX = 6;
/** Connections at the same time, of each kind. */
const AT_ONCE = 4;

jest.setTimeout(120_000 + BATCHES.length * 10_000);

onServers('[fuzz] $name (wire 1, 34, 64)', (server, on) => {
  // A text in which a TRUNCATE may be held runs in parts, as one with a drop does.
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database,create-or-replace' });
  on.beforeAll(() => query(server, ...FUZZ_SETUP));
  on.afterAll(() => query(server, "DROP USER fuzz@'%'", 'DROP DATABASE fuzz'));

  test('sequences of commands have the same answers', async () => {
    const seed = seedOf(server);
    const left = [...BATCHES];
    let [said, steps] = [0, 0];
    const worker = async (): Promise<void> => {
      for (let batch = left.shift(); batch !== undefined; batch = left.shift()) {
        const done = await sayBatch([server, proxy], { seed, batch }).catch((error: unknown) => {
          left.length = 0;
          throw error;
        });
        said += done.sequences;
        steps += done.steps;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    process.stdout.write(`${server.name}: ${said} sequences, ${steps} steps, seed ${seed}\n`);
    expect(said).toBeGreaterThanOrEqual(BATCHES.length * BATCH);
  });
});

function seedOf({ name }: TestServer): number {
  const [safe = 0] = sample(SAFE_SEEDS, { name: 'seed', count: 1 });
  return name === 'mysql-9.7' ? safe : seedFor('sequences');
}

type Twins = readonly [WireTalk, WireTalk];
type Targets = readonly { readonly host: string; readonly port: number }[];

/** A batch's commands depend on the seed and its number alone. */
async function sayBatch(
  targets: Targets,
  { seed, batch }: { readonly seed: number; readonly batch: number },
): Promise<{ readonly sequences: number; readonly steps: number }> {
  const random = seededRandom((seed ^ Math.imul(batch + 1, 0x9e3779b1)) >>> 0);
  let [sequences, steps] = [0, 0];
  while (sequences < BATCH) {
    const pair = await openPair(targets, random);
    try {
      const conversation = new Conversation(pair, random, `seed ${seed}, batch ${batch}`);
      for (; sequences < BATCH && !conversation.isOver; sequences++) {
        await conversation.sequence(1 + Math.floor(random() * STEPS_MAX));
      }
      steps += conversation.steps;
      await conversation.end();
    } finally {
      for (const talk of pair) talk.destroy();
    }
  }
  return { sequences, steps };
}

async function openPair([direct, through]: Targets, random: Random): Promise<Twins> {
  if (direct === undefined || through === undefined) throw new Error('two targets are needed');
  const login = randomLogin(random);
  return Promise.all([WireTalk.open(direct, login), WireTalk.open(through, login)]);
}

/** One connection to each, which say the same and compare what they hear. */
class Conversation {
  readonly #pair: Twins;
  readonly #random: Random;
  readonly #maker: CommandMaker;
  readonly #name: string;
  readonly #opening: Step[];
  readonly #said: string[] = [];
  /** Null: not followed any more. */
  #tracker: ResponseTracker | null;
  /** By the id of a statement, whether it was executed with a cursor. */
  readonly #cursors = new Map<string, string>();
  /** A query of several statements had words of a drop: syntax errors quote less of such a one. */
  #quotesLess = false;
  isOver = false;

  constructor(pair: Twins, random: Random, name: string) {
    this.#pair = pair;
    this.#random = random;
    this.#name = name;
    this.#maker = new CommandMaker(random, pair[0]);
    this.#tracker = new ResponseTracker(pair[0]);
    this.#opening = [...this.#maker.opening()];
    expect([pair[1].flags, pair[1].mariadb]).toEqual([pair[0].flags, pair[0].mariadb]);
  }

  get steps(): number {
    return this.#said.length;
  }

  async sequence(length: number): Promise<void> {
    for (let index = 0; index < length && !this.isOver; index++) await this.#next();
  }

  async #next(): Promise<void> {
    const step = this.#opening.shift() ?? this.#maker.next();
    this.#said.push(step.title.slice(0, 300));
    this.#quotesLess ||= step.title.includes(';') && /\bdrop\b/i.test(step.title);
    const nonce = `fuzz_${this.#random().toString(36).slice(2).padEnd(12, '0')}`;
    const cuts = this.#maker.cuts(step.bytes.length);
    const heard = await this.#both((talk) => talk.say(step, nonce, cuts));
    this.#compare(step, heard);
    const [direct] = heard;
    this.#follow(step, direct);
    step.onHeard?.(direct.packets);
    this.isOver = direct.ending === 'closed';
  }

  /** COM_QUIT; nothing comes behind it but the end. */
  async end(): Promise<void> {
    if (this.isOver) return;
    const quit: Step = { title: 'QUIT', bytes: Buffer.from([1, 0, 0, 0, 1]), isLast: true };
    this.#said.push(quit.title);
    this.#compare(quit, await this.#both((talk) => talk.say(quit, '')));
  }

  async #both(say: (talk: WireTalk) => Promise<Heard>): Promise<readonly [Heard, Heard]> {
    const [direct, through] = this.#pair;
    return Promise.all([say(direct), say(through)]);
  }

  #compare(step: Step, [direct, through]: readonly [Heard, Heard]): void {
    const compared = ({ packets }: Heard) =>
      masked(packets, step).map((packet) => (this.#quotesLess ? withoutQuote(packet) : packet));
    const [wanted, got] = [compared(direct), compared(through)];
    const isSame =
      wanted.length === got.length &&
      wanted.every((packet, index) => got[index]?.equals(packet)) &&
      direct.ending === through.ending;
    if (isSame && direct.ending !== 'silence') return;
    const list = (packets: readonly Buffer[], { ending }: Heard) =>
      [...packets.map(shown), ending].join('\n  ');
    throw new Error(
      this.#report(
        `directly:\n  ${list(wanted, direct)}\nthrough the proxy:\n  ${list(got, through)}`,
      ),
    );
  }

  #follow({ title, bytes }: Step, { packets, ending }: Heard): void {
    for (const [, id = '', cursor = ''] of title.matchAll(/EXECUTE (\d+) cursor (\d)/g)) {
      // MySQL ends the answer to one that is executed without while its cursor is open by an OK
      // where an EOF belongs (0x00 for 0xFE), which no client can tell from a row.
      if ((this.#cursors.get(id) ?? cursor) !== cursor) this.#tracker = null;
      this.#cursors.set(id, cursor);
    }
    const [tracker, commands] = [this.#tracker, commandsIn(bytes)];
    // A packet out of order begins no command.
    if (tracker === null || ending !== 'marker' || commands.length === 0) return;
    for (const command of commands) tracker.expect(command);
    const answers = packets.slice(0, -1);
    const idleAt = answers.flatMap((packet, index) => {
      const wasIdle = tracker.idle;
      tracker.feed(packet);
      return wasIdle ? [index] : [];
    });
    if (idleAt.length === 0 && tracker.idle) return;
    const state = { idleAt, isIdle: tracker.idle, isUntracked: tracker.untracked };
    throw new Error(this.#report(`the tracker: ${JSON.stringify(state)} ${answers.map(shown)}`));
  }

  #report(problem: string): string {
    const flags = this.#pair.map((one) => [one.flags.toString(16), one.mariadb.toString(16)]);
    return [
      `${this.#name}, capabilities ${flags.join(' ')}:`,
      ...this.#said.map((title, index) => `${index + 1}. ${title}`),
      problem,
    ].join('\n');
  }
}

/** The first bytes of the packets that begin a command; an empty one is COM_SLEEP. */
function commandsIn(bytes: Buffer): readonly number[] {
  const commands: number[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUIntLE(at, 3)) {
    if (bytes[at + 3] === 0)
      commands.push(bytes.readUIntLE(at, 3) === 0 ? 0 : (bytes[at + 4] ?? 0));
  }
  return commands;
}

/** Packets without what differs from session to session. */
function masked(packets: readonly Buffer[], { varies, prepares }: Step): readonly Buffer[] {
  if (varies === 'rows') return [...packets.slice(0, 9), ...packets.slice(-1)];
  const isPipelined = varies === 'pipelined';
  return packets.map((packet) => {
    if (isPipelined && packet.indexOf('Uptime: ') === 4) return Buffer.from('STATISTICS');
    if (packet.length < 512 && packet.includes('statement')) {
      const text = packet.toString('latin1');
      // Header and length of the text depend on the id too.
      if (NAMES_AN_ID.test(text)) return Buffer.from(text.slice(8).replace(NAMES_AN_ID, '(id)'));
    }
    if (isPipelined || prepares !== undefined) return withoutStatementId(packet);
    const isSwitch = varies === 'nonce' && packet[4] === 0xfe;
    return isSwitch ? packet.subarray(0, packet.indexOf(0, 5) + 1) : packet;
  });
}

/** 1243 and 1421 name a prepared statement by its id; a row of SHOW WARNINGS has a length. */
const NAMES_AN_ID =
  /.?(?:Unknown prepared statement handler|The statement) \(\d+\)(?= given to| has no open cursor)/;

/** A syntax error, or its row of SHOW WARNINGS, without what it quotes, and the lengths of it. */
function withoutQuote(packet: Buffer): Buffer {
  const text = packet.toString('latin1');
  const kept = text.replace(SYNTAX_ERROR, '$1near');
  return kept === text ? packet : Buffer.from(kept.slice(3), 'latin1');
}

const SYNTAX_ERROR =
  /(?:\xfc..|.)(You have an error in your SQL syntax; .* to use )near '.*' at line \d+/s;

/** MariaDB counts them for all sessions together. */
function withoutStatementId(packet: Buffer): Buffer {
  const isPrepareOk = packet[3] === 1 && packet[4] === 0 && /^1[67]$/.test(`${packet.length}`);
  return isPrepareOk ? Buffer.from(packet).fill(0, 5, 9) : packet;
}

function shown(packet: Buffer): string {
  const start = packet.subarray(0, 120);
  return `${packet.length} ${start.toString('hex')} ${JSON.stringify(start.toString('latin1', 4))}`;
}
