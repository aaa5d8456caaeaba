import { type Api, route } from '../route.ts';
import { sendEvents } from '../streams.ts';

export function eventRoutes(api: Api): void {
  route(api, {
    method: 'GET',
    url: '/events',
    role: 'viewer',
    tag: 'events',
    summary: 'Everything that happens from now on, as server-sent events',
    response: 'events',
    handle: async ({ control, reply, signal }) =>
      sendEvents(reply, control.events(signal), { clock: api.clock, signal }),
  });
}
