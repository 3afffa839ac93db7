/** The console of the admin listener: its pages and its API, behind one gate. */
import { newApi } from './api.js';
import { type ConsoleGateOptions, Gate } from './gate.js';
import type { ConsoleOptions, Serve } from './serve.js';
import { People } from './web/people.js';
import { newWeb } from './web/web.js';

const OF_PROGRAMS = /^\/(?:api\/|mcp(?:[/?]|$))/;

export interface OpenConsole {
  readonly serve: Serve;
  /** Signs everybody out. */
  close(): void;
}

export function openConsole({
  door,
  hosts,
  ...shared
}: Omit<ConsoleOptions, 'gate' | 'people'> &
  Pick<ConsoleGateOptions, 'door' | 'hosts'>): OpenConsole {
  const { operator, log } = shared;
  const monotonicMs = () => performance.now();
  const gate = new Gate({ door, hosts, operator, log, monotonicMs });
  const people = new People(monotonicMs);
  const options = { ...shared, gate, people };
  const [api, web] = [newApi(options), newWeb(options)];
  return {
    serve: async (request, response) => {
      if (request.url === '/') response.writeHead(303, { location: '/console' }).end();
      else await (OF_PROGRAMS.test(request.url ?? '') ? api : web)(request, response);
    },
    close: () => people.stop(),
  };
}
