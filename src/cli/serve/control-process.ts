/** The control process of a service: obeys the supervisor (supervisor/messages.ts). */
import { systemClock } from '../../clock.js';
import { type Counters, newCounters } from '../../metrics.js';
import { describeAddress } from '../../service/server-address.js';
import { Webhook } from '../../webhook/webhook.js';
import { changesOf, type ProxySettings } from '../settings.js';
import { end, type Obey, type Opened, openCommon, type Start, sockets, tell } from './channel.js';
import { ControlPlane, type Handover } from './control-plane.js';

export async function openControl(start: Start): Promise<Obey> {
  const common = await openCommon(start, openWebhook);
  const { settings, log, news } = common;
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
      onHandover: (handover) => tell({ kind: 'tell', message: { kind: 'handover', handover } }),
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
        if (order.message.kind === 'news') news.add(order.message.news);
        if (order.message.kind === 'handover') {
          const { messages = [] } = order.message.handover as Partial<Handover>;
          news.take(messages);
        }
        return;
      case 'stop':
        await control.stop(order);
        return end(common.counters);
      default:
        throw new Error(`a control process has no order ${order.kind}`);
    }
  };
}

function openWebhook({ settings, lines: log, counters }: Opened): Webhook {
  return new Webhook({
    urls: settings.webhook,
    secret: settings.webhookSecret ?? '',
    server: settings.upstream.map(describeAddress).join(', '),
    clock: systemClock,
    ...{ log, counters },
  });
}
