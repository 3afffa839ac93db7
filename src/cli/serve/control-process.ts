/** The control process of a service: obeys the supervisor (supervisor/messages.ts). */
import { type Counters, newCounters } from '../../metrics.js';
import { changesOf, type ProxySettings } from '../settings.js';
import { end, type Obey, openCommon, type Start, sockets, tell } from './channel.js';
import { ControlPlane } from './control-plane.js';

export async function openControl(start: Start): Promise<Obey> {
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
