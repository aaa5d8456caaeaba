import { Type } from 'typebox';
import { type Api, route } from '../route.ts';

const tag = 'snapshots';
const ofServer = Type.Object({ server: Type.String() });
const params = Type.Object({
  server: Type.String(),
  selector: Type.String({ description: '`latest`, `~2`, an ISO 8601 time with offset, or an id' }),
});

export function snapshotRoutes(api: Api): void {
  route(api, {
    method: 'POST',
    url: '/servers/:server/snapshots',
    role: 'operator',
    tag,
    summary: 'Takes a snapshot now',
    params: ofServer,
    response: 'Operation',
    status: 202,
    handle: ({ control, params: { server }, by }) => control.takeSnapshot(server, by),
  });
  route(api, {
    method: 'GET',
    url: '/servers/:server/snapshots',
    role: 'viewer',
    tag,
    summary: 'All snapshots of a server, newest last',
    params: ofServer,
    response: { list: 'Snapshot' },
    handle: ({ control, params: { server } }) => control.listSnapshots(server),
  });
  route(api, {
    method: 'GET',
    url: '/servers/:server/snapshots/:selector',
    role: 'viewer',
    tag,
    summary: 'One snapshot',
    params,
    query: Type.Object({ strictlyBefore: Type.Optional(Type.Boolean()) }),
    response: 'Snapshot',
    handle: ({ control, params: { server, selector }, query }) =>
      control.resolveSnapshot(server, selector, query),
  });
  route(api, {
    method: 'PUT',
    url: '/servers/:server/snapshots/:selector/pinned',
    role: 'operator',
    tag,
    summary: 'Pins a snapshot (retention never removes it) or unpins it',
    params,
    body: Type.Object({ pinned: Type.Boolean() }),
    response: 'Snapshot',
    handle: ({ control, params: { server, selector }, body: { pinned }, by }) =>
      control.pinSnapshot(server, selector, pinned, by),
  });
  route(api, {
    method: 'DELETE',
    url: '/servers/:server/snapshots/:selector',
    role: 'admin',
    tag,
    summary: 'Removes one snapshot; all others stay restorable',
    params,
    handle: ({ control, params: { server, selector }, by }) => control.removeSnapshot(server, selector, by),
  });
}
