/**
 * The gate lets packets pass whose sequence id is not 0, as no server takes them for commands. This
 * is what it relies on, asked of every server.
 */
import { onServers } from '../support/on-servers.js';
import { frame } from '../support/raw-client.js';
import { query } from '../support/servers.js';
import type { Peer } from '../support/session-bench.js';
import { openPeer } from '../support/wire-talk.js';

onServers('sequence ids on $name', (server, on) => {
  const { afterAll, beforeAll, test } = on;
  const peers: Peer[] = [];
  const proxy = on.proxy();
  const schema = on.schema().name;
  beforeAll(() => query(server, `CREATE TABLE ${schema}.t (id INT)`));
  afterAll(() => peers.forEach((peer) => void peer.destroy()));

  async function loggedIn(): Promise<Peer> {
    const { peer } = await openPeer(server.name, proxy);
    peers.push(peer);
    return peer;
  }

  /** False: it has said something. */
  const endsInstead = (peer: Peer) =>
    Promise.race([
      peer.ended().then(() => true),
      peer.packet().then(
        () => false,
        () => true,
      ),
    ]);

  const dropAs = (sequenceId: number) =>
    frame(Buffer.from(`\x03DROP TABLE ${schema}.t`), sequenceId);

  test.each([
    ['sequence id 1', () => [dropAs(1)]],
    ['sequence id 255', () => [dropAs(255)]],
    ['0 behind something with 255', () => [frame(Buffer.from('x'), 255), dropAs(0)]],
    ['0 behind an empty packet with 255', () => [frame(Buffer.alloc(0), 255), dropAs(1)]],
  ])('a DROP with %s drops nothing, and the session is over', async (_ids, packets) => {
    const peer = await loggedIn();
    peer.send(...packets());
    await peer.ended();
    const rows = await query(server, `SHOW TABLES FROM ${schema}`);
    expect(rows).toHaveLength(1);
  });

  /** An upload that has counted to 255, of a session with such an id. */
  async function uploading(): Promise<{ readonly peer: Peer; readonly threadId: number }> {
    const peer = await loggedIn();
    const say = (text: string) => peer.send(frame(Buffer.from(`\x03${text}`), 0));
    say('DO 1');
    await peer.packet();
    const told = `LOAD DATA LOCAL INFILE 'x' INTO TABLE ${schema}.t`;
    say('SET SESSION net_read_timeout = 1');
    await peer.packet();
    say(told);
    expect((await peer.packet())[4]).toBe(0xfb);
    for (let id = 2; id < 256; id++) peer.send(frame(Buffer.from('1\n'), id));
    const [row] = await query(
      server,
      `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE INFO = "${told}"`,
    );
    return { peer, threadId: Number(row?.['id']) };
  }

  test('a DROP behind an upload that the server has ended is none of its data', async () => {
    await query(server, 'SET GLOBAL local_infile = 1');
    const { peer, threadId } = await uploading();
    await query(server, `KILL QUERY ${threadId}`);
    const isOver = await endsInstead(peer);
    if (!isOver) {
      peer.send(dropAs(0));
      await endsInstead(peer);
    }
    const count = async (text: string) => Number((await query(server, text))[0]?.['n']);
    const live = `FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${schema}'`;
    const held = `FROM _undrop.ledger WHERE schema_name = '${schema}'`;
    const [tables, rows] = [`SELECT COUNT(*) AS n ${live}`, `SELECT COUNT(*) AS n ${held}`];
    expect((await count(tables)) + (await count(rows))).toBe(1);
    if ((await count(tables)) === 0) await query(server, `CREATE TABLE ${schema}.t (id INT)`);
  });

  test('a DROP as the data of an upload is data (wire 13)', async () => {
    const peer = await loggedIn();
    peer.send(frame(Buffer.from(`\x03LOAD DATA LOCAL INFILE 'x' INTO TABLE ${schema}.t`), 0));
    expect((await peer.packet())[4]).toBe(0xfb);
    for (let id = 2; id < 300; id++) peer.send(dropAs(id & 0xff));
    peer.send(frame(Buffer.alloc(0), 300 & 0xff));
    // Strict, or not: that is no number.
    expect([0x00, 0xff]).toContain((await peer.packet())[4]);
    peer.send(frame(Buffer.from([0x0e]), 0));
    expect((await peer.packet())[4]).toBe(0x00);
    expect(await query(server, `SHOW TABLES FROM ${schema}`)).toHaveLength(1);
  });
});
