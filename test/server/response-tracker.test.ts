/**
 * The tracker against the marker, on every server: at the end of each step of random conversations
 * the tracker is idle exactly where the marker says that no answer is owed any more.
 */
import { expect, jest, test } from '@jest/globals';
import { CLIENT_DEPRECATE_EOF } from '../../src/wire/capabilities.js';
import { HEADER_BYTES } from '../../src/wire/framing.js';
import { type Random, seededRandom } from '../support/dice.js';
import { MarkedSession, type Step } from '../support/marked-session.js';
import { onServers } from '../support/on-servers.js';
import {
  type Prepared,
  randomCapabilities,
  randomCommand,
  randomPrepare,
  TABLES,
} from '../support/random-conversation.js';
import { rounds, seedFor } from '../support/sample.js';
import { query, type TestServer } from '../support/servers.js';

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
  const session = await MarkedSession.open(server, randomCapabilities(random));
  const prepared: Prepared[] = [];
  try {
    await session.run([Buffer.from(`\x02${schema}`)]);
    for (let index = 0; index < STEPS; index++) {
      const { sent, step } = await randomStep(session, { random, server, schema, prepared });
      tally.steps++;
      tally.commands += sent.length;
      tally.answerBytes += step.answers.length;
      if (step.idleTooEarly === 0 && step.isIdle && !step.isUntracked) {
        if (!step.isOver) continue;
        tally.ended++;
        return;
      }
      const { answers, ...thought } = step;
      tally.wrong.push({
        ...{ seed, index, ...thought, flags: session.agreed },
        eof: (session.agreed.flags & CLIENT_DEPRECATE_EOF) === 0,
        sent: sent.map((payload) => JSON.stringify(payload.subarray(0, 200).toString('latin1'))),
        answers: JSON.stringify(answers.subarray(0, 900).toString('latin1')),
      });
      return;
    }
  } finally {
    session.close();
  }
}

interface Surroundings {
  readonly random: Random;
  readonly server: TestServer;
  readonly schema: string;
  readonly prepared: Prepared[];
}

async function randomStep(
  session: MarkedSession,
  { random, server, schema, prepared }: Surroundings,
): Promise<{ readonly sent: readonly Buffer[]; readonly step: Step }> {
  const choice = random();
  if (choice < 0.25) {
    const sent = [randomPrepare(random)];
    const step = await session.run(sent);
    const [statement] = readPrepared(step.answers);
    if (statement !== undefined) prepared.push(statement);
    return { sent, step };
  }
  if (choice < 0.29) {
    prepared.length = 0;
    const user = random() < 0.95 ? server.user : 'missing';
    return { sent: [Buffer.from(`\x11${user}`)], step: await session.changeUser(user) };
  }
  if (choice < 0.36) {
    const file = random() < 0.8 ? 'written' : 'missing';
    const text = `LOAD DATA LOCAL INFILE 'x' INTO TABLE ${schema}.${file} (name); SELECT 1`;
    const rows = Array.from({ length: Math.floor(random() * 4) }, () => Buffer.from('a\nb\n'));
    const step = await session.upload(text, [...rows, Buffer.alloc(0)]);
    return { sent: [Buffer.from(text)], step };
  }
  const options = {
    agreed: session.agreed,
    isMariadb: server.flavour === 'mariadb',
    schema,
    prepared,
  };
  const count = 1 + Math.floor(random() * BURST_MAX);
  const sent = Array.from({ length: count }, () => randomCommand(random, options));
  return { sent, step: await session.run(sent) };
}

/** The first packet of a PREPARE's answer, where it succeeded. */
function readPrepared(answers: Buffer): readonly Prepared[] {
  if (answers[HEADER_BYTES] !== 0x00) return [];
  const id = answers.readUInt32LE(HEADER_BYTES + 1);
  return [{ id, parameters: answers.readUInt16LE(HEADER_BYTES + 7) }];
}
