/**
 * The tracker against the marker, on every server: at the end of each step of random conversations
 * the tracker is idle exactly where the marker says that no answer is owed any more.
 */
import { expect, jest, test } from '@jest/globals';
import { ResponseTracker } from '../../src/relay/response-tracker.js';
import { CLIENT_DEPRECATE_EOF } from '../../src/wire/capabilities.js';
import { COM_CHANGE_USER, encodeComQuery } from '../../src/wire/commands.js';
import { encodePacket, HEADER_BYTES } from '../../src/wire/framing.js';
import { type Random, seededRandom } from '../support/dice.js';
import { onServers } from '../support/on-servers.js';
import { INFILE, provesNothing, sendsFile } from '../support/random-commands.js';
import {
  type Prepared,
  randomCapabilities,
  randomCommand,
  randomPrepare,
  TABLES,
} from '../support/random-conversation.js';
import { rounds, seedFor } from '../support/sample.js';
import { query, type TestServer } from '../support/servers.js';
import { type Utterance, WireTalk } from '../support/wire-talk.js';

/** For each server. */
const CONVERSATIONS = rounds(2_500, 50);
const SEED = seedFor('conversations');
jest.setTimeout(120_000 + CONVERSATIONS * 2_000);

const STEPS = 12;
const BURST_MAX = 6;

interface Tally {
  steps: number;
  commands: number;
  answerBytes: number;
  ended: number;
  readonly wrong: unknown[];
}

onServers('answers followed on $name', (server, on) => {
  const schema = on.schema().name;
  on.beforeAll(() => query(server, 'SET GLOBAL local_infile = 1', `USE ${schema}`, ...TABLES));

  test(`${CONVERSATIONS} conversations (wire 34, 36, 37, 38, 39, 40, 41, 42, 43)`, async () => {
    const tally: Tally = { steps: 0, commands: 0, answerBytes: 0, ended: 0, wrong: [] };
    for (let index = 0; index < CONVERSATIONS && tally.wrong.length === 0; index++) {
      await converse(server, schema, SEED + index, tally);
    }
    expect(tally.wrong).toEqual([]);
    expect(tally.steps).toBeGreaterThan(CONVERSATIONS * STEPS * 0.9);
    expect(tally.commands).toBeGreaterThan(tally.steps);
    expect(tally.ended).toBeLessThan(CONVERSATIONS * 0.1 + 5);
  });
});

async function converse(server: TestServer, schema: string, seed: number, tally: Tally) {
  const random = seededRandom(seed);
  const talk = await WireTalk.open(server, { user: server.user, ...randomCapabilities(random) });
  const session = { talk, tracker: new ResponseTracker(talk), seed };
  const prepared: Prepared[] = [];
  try {
    await follow(session, [Buffer.from(`\x02${schema}`)]);
    for (let index = 0; index < STEPS; index++) {
      const { sent, step } = await randomStep(session, { random, server, schema, prepared });
      tally.steps++;
      tally.commands += sent.length;
      tally.answerBytes += step.answers.length;
      if (step.idleTooEarly === 0 && step.isIdle && !step.isUntracked) {
        if (!talk.isClosed) continue;
        tally.ended++;
        return;
      }
      const { answers, ...thought } = step;
      tally.wrong.push({
        ...{ seed, index, ...thought, flags: talk.flags, mariadb: talk.mariadb },
        eof: (talk.flags & CLIENT_DEPRECATE_EOF) === 0,
        sent: sent.map((payload) => JSON.stringify(payload.subarray(0, 200).toString('latin1'))),
        answers: JSON.stringify(answers.subarray(0, 900).toString('latin1')),
      });
      return;
    }
  } finally {
    talk.destroy();
  }
}

interface Session {
  readonly talk: WireTalk;
  readonly tracker: ResponseTracker;
  readonly seed: number;
}

/** What the tracker thought while the answers of one step came. */
interface Followed {
  /** All answers, up to the marker's. */
  readonly answers: Buffer;
  /** At how many packet edges before the last it was idle. */
  readonly idleTooEarly: number;
  readonly isIdle: boolean;
  readonly isUntracked: boolean;
}

/** Sends commands in one write, and feeds the tracker with their answers packet by packet. */
async function follow(
  { talk, tracker, seed }: Session,
  sent: readonly Buffer[],
  replier?: Utterance['replier'],
): Promise<Followed> {
  for (const payload of sent) tracker.expect(payload[0] ?? 0);
  const bytes = Buffer.concat(sent.map((payload) => encodePacket(payload, 0)));
  const nonce = `end_of_the_answer_${seed}`;
  const heard = await talk.say({ bytes, ...(replier && { replier }) }, nonce);
  if (heard.ending === 'silence') throw new Error(`No answer came, seed ${seed}.`);
  const packets = heard.ending === 'marker' ? heard.packets.slice(0, -1) : heard.packets;
  let idleTooEarly = 0;
  for (const packet of packets) {
    if (tracker.idle) idleTooEarly++;
    tracker.feed(packet);
  }
  const { idle: isIdle, untracked: isUntracked } = tracker;
  return { answers: Buffer.concat(packets), idleTooEarly, isIdle, isUntracked };
}

interface Surroundings {
  readonly random: Random;
  readonly server: TestServer;
  readonly schema: string;
  readonly prepared: Prepared[];
}

async function randomStep(
  session: Session,
  { random, server, schema, prepared }: Surroundings,
): Promise<{ readonly sent: readonly Buffer[]; readonly step: Followed }> {
  const { talk } = session;
  const choice = random();
  if (choice < 0.25) {
    const sent = [randomPrepare(random)];
    const step = await follow(session, sent);
    const [statement] = readPrepared(step.answers);
    if (statement !== undefined) prepared.push(statement);
    return { sent, step };
  }
  if (choice < 0.29) {
    prepared.length = 0;
    const user = random() < 0.95 ? server.user : 'missing';
    const names = `${user}\0\0\0`;
    const sent = [
      Buffer.from(`${String.fromCharCode(COM_CHANGE_USER)}${names}\x2d\0${talk.plugin}\0`),
    ];
    return { sent, step: await follow(session, sent, provesNothing) };
  }
  if (choice < 0.36) {
    const file = random() < 0.8 ? 'written' : 'missing';
    const text = `LOAD DATA LOCAL INFILE '${INFILE}' INTO TABLE ${schema}.${file} (name); SELECT 1`;
    const parts = Array.from({ length: Math.floor(random() * 4) }, () => 4);
    const sent = [encodeComQuery(Buffer.from(text), talk)];
    return { sent, step: await follow(session, sent, () => sendsFile(parts)) };
  }
  const options = { agreed: talk, isMariadb: server.flavour === 'mariadb', schema, prepared };
  const count = 1 + Math.floor(random() * BURST_MAX);
  const sent = Array.from({ length: count }, () => randomCommand(random, options));
  return { sent, step: await follow(session, sent) };
}

/** The first packet of a PREPARE's answer, where it succeeded. */
function readPrepared(answers: Buffer): readonly Prepared[] {
  if (answers[HEADER_BYTES] !== 0x00) return [];
  const id = answers.readUInt32LE(HEADER_BYTES + 1);
  return [{ id, parameters: answers.readUInt16LE(HEADER_BYTES + 7) }];
}
