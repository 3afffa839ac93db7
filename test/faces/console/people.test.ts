/** Who is signed in, and for how long. */
import { isSameSecret, People } from '../../../src/faces/console/web/people.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

let nowMs = 0;
let people = new People(() => nowMs);
let ended = 0;
beforeEach(() => {
  [nowMs, ended] = [0, 0];
  people = new People(() => nowMs);
});
afterEach(() => people.stop());

function signIn(user = 'anna'): string {
  let isOpen = true;
  const session = {
    find: async () => [],
    rows: async () => [],
    whyEarly: () => null,
    prepare: async () => undefined,
    change: async () => ({ info: '', warnings: [] }),
    get isOpen() {
      return isOpen;
    },
    end: () => {
      isOpen = false;
      ended++;
    },
  };
  return people.add({ user, client: '::1', session, isOperator: false });
}

test('each has a secret and a token of its own', () => {
  const [one, other] = [signIn(), signIn()];
  expect(one).not.toBe(other);
  const [anna, bob] = [people.find(one), people.find(other)];
  expect(anna?.token).toMatch(/^[\w-]{32}$/);
  expect(anna?.token).not.toBe(bob?.token);
  expect([people.find(''), people.find(`${one}x`), people.find(anna?.token ?? '')]).toEqual([
    ...[null, null, null],
  ]);
});

test('ends after 15 minutes without a request, and after 8 hours with them', () => {
  const idle = signIn();
  nowMs = 15 * MINUTE_MS - 1;
  expect(people.find(idle)).not.toBeNull();
  nowMs += 15 * MINUTE_MS;
  expect([people.find(idle), ended]).toEqual([null, 1]);
  const busy = signIn();
  const startMs = nowMs;
  for (nowMs += 10 * MINUTE_MS; nowMs < startMs + 8 * HOUR_MS; nowMs += 10 * MINUTE_MS) {
    expect(people.find(busy)).not.toBeNull();
  }
  expect([people.find(busy), ended]).toEqual([null, 2]);
});

test('work that goes on keeps its person', () => {
  const secret = signIn();
  const job = {
    ...{ id: 'j', title: 'Restore', back: '/console', total: 2, done: 0 },
    ...{ messages: [], failed: [], isOver: false },
  };
  people.find(secret)?.jobs.set(job.id, job);
  nowMs = 7 * HOUR_MS;
  expect(people.find(secret)).not.toBeNull();
  job.isOver = true;
  nowMs += 15 * MINUTE_MS;
  expect(people.find(secret)).toBeNull();
});

test('ends with the connection, by sign-out, and at the stop', () => {
  const [lost, left, last] = [signIn(), signIn(), signIn()];
  people.find(lost)?.session.end();
  expect(people.find(lost)).toBeNull();
  const person = people.find(left);
  if (person !== null) people.end(person);
  expect(people.find(left)).toBeNull();
  people.stop();
  expect(people.find(last)).toBeNull();
});

test('a page that follows by itself is no use', () => {
  const secret = signIn();
  nowMs = 10 * MINUTE_MS;
  expect(people.find(secret, { isUse: false })).not.toBeNull();
  nowMs = 15 * MINUTE_MS;
  expect(people.find(secret, { isUse: false })).toBeNull();
});

test('an account has eight sessions: the first ends with the ninth', () => {
  const [first = '', second = ''] = Array.from({ length: 9 }, () => signIn());
  expect([ended, people.find(first)]).toEqual([1, null]);
  expect(people.find(second)).not.toBeNull();
});

test('no more than 64 at a time', () => {
  for (let count = 0; count < 64; count++) {
    expect(people.isFull).toBe(false);
    signIn(`user-${count}`);
  }
  expect(people.isFull).toBe(true);
  nowMs = 15 * MINUTE_MS;
  expect(people.isFull).toBe(false);
});

test('secrets compare whole', () => {
  expect(isSameSecret('abc', 'abc')).toBe(true);
  for (const other of ['abd', 'ab', 'abcd', '']) expect(isSameSecret('abc', other)).toBe(false);
});
