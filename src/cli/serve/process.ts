/**
 * A process of a service, as the supervisor forks it: it learns its role, is told when to serve and
 * when to end, and ends by itself if the supervisor does.
 *
 * Invariant: signals that reach all processes of a group don't concern it.
 */
import { Socket } from 'node:net';
import { UndropError } from '../../errors.js';
import { openLog } from '../../log.js';
import { type Counters, newCounters } from '../../metrics.js';
import { KEEP_ALIVE } from '../../relay/byte-stream.js';
import type { SocketHandle } from '../../session/bound-sockets.js';
import { reportFailure } from '../report-failure.js';
import { changesOf, type ProxySettings, readProxySettings } from '../settings.js';
import { versionOfPackage } from '../shell.js';
import { takeSignals } from '../signals.js';
import {
  PROTOCOL,
  PROTOCOL_VARIABLE,
  ROLE_VARIABLE,
  type ToProcess,
} from '../supervisor/messages.js';
import { end, type Obey, openCommon, type Start, sockets, tell } from './channel.js';
import { ControlPlane } from './control-plane.js';
import { planOf } from './plan.js';
import { openProxy } from './proxy-process.js';

let obey: Obey = () => {
  throw new Error('an order came before the start');
};

takeSignals(() => undefined);
process.on('disconnect', () => process.exit(0));
// Node emits no `disconnect` if the supervisor dies before it has confirmed a socket.
setInterval(() => process.connected || process.exit(0), 1_000).unref();
// In order: a message that comes during a start waits for it.
let heard: Promise<void> = Promise.resolve();
process.on('message', (message: ToProcess, handle: unknown) => {
  heard = heard.then(() => hear(message, handle as SocketHandle)).catch(fail);
});
const role = process.env[ROLE_VARIABLE];
const protocol = Number(process.env[PROTOCOL_VARIABLE]);
// Processes that this one starts are none of the service.
delete process.env[ROLE_VARIABLE];
delete process.env[PROTOCOL_VARIABLE];
if (protocol === PROTOCOL) tell({ kind: 'hello', version: versionOfPackage() });
else {
  const what = `the supervisor speaks protocol ${protocol}, this program ${PROTOCOL}`;
  fail(new UndropError('UNDROP_WORKER', { cause: `${what}: restart undrop` }));
}

function fail(error: unknown): void {
  const texts: string[] = [];
  const exitCode = reportFailure(error, { write: (more) => texts.push(more) });
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof UndropError ? { code: error.code } : {};
  tell({ kind: 'failed', text: texts.join(''), exitCode, message, ...code }, () =>
    process.exit(exitCode),
  );
}

async function hear(message: ToProcess, handle: SocketHandle): Promise<void> {
  switch (message.kind) {
    case 'plan': {
      const { env, stderr } = process;
      const { flags, kept } = message;
      const loaded = readProxySettings({ env, stderr }, flags);
      const { settings } = loaded;
      // The audit file is opened at the start.
      const log = await openLog({ ...settings, auditFile: '' }, { pretty: process.stdout.isTTY });
      return tell({ kind: 'planned', plan: await planOf(loaded, { kept, log }) });
    }
    case 'socket':
      sockets.push({ ...message, handle });
      return;
    case 'start':
      obey = await (role === 'control' ? openControl(message) : openProxy(message));
      return;
    default: {
      const order = message.kind === 'client' ? { ...message, client: socketOf(handle) } : message;
      // Not awaited, because the next order may be to hurry.
      Promise.resolve(obey(order)).catch(fail);
    }
  }
}

/** A connection that another process has accepted, paused as it was there. */
function socketOf(handle: unknown): Socket {
  const { noDelay, keepAlive, keepAliveInitialDelay } = KEEP_ALIVE;
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true };
  const socket = new Socket({ ...options, readable: true, writable: true });
  return socket.setNoDelay(noDelay).setKeepAlive(keepAlive, keepAliveInitialDelay);
}

// ── the control process ──────────────────────────────────────────────────────────────────────────
// The control process of a service: obeys the supervisor (supervisor/messages.ts).

async function openControl(start: Start): Promise<Obey> {
  const common = await openCommon(start);
  const { settings, log } = common;
  let ofAll: Counters = newCounters();
  const control = await ControlPlane.open(
    {
      ...common,
      serviceId: String(start.kept['serviceId']),
      processes: start.proxies + 1,
      listen: start.listen,
      counters: () => ofAll,
      own: common.counters,
      onTakenOver: (address) => tell({ kind: 'tell', message: { kind: 'renew', address } }),
    },
    settings,
  );
  tell({ kind: 'ready', serverConnectionsMax: control.serverConnectionsMax });
  return async (order) => {
    switch (order.kind) {
      case 'serve':
        return control.serve(sockets, order.about);
      case 'collect': {
        if (order.before !== null) {
          const changed = changesOf(order.before as ProxySettings, settings);
          log.info({ event: 'reload', changed }, 'reloaded the program and its settings');
        }
        return control.collect();
      }
      case 'away':
        return control.keepAway();
      case 'counters':
        ofAll = { ...newCounters(), ...order.counters } as Counters;
        return;
      case 'told':
        if (order.message.kind === 'held') control.onHeld();
        return;
      case 'stop':
        await control.stop(order);
        return end(common.counters);
      default:
        throw new Error(`a control process has no order ${order.kind}`);
    }
  };
}
