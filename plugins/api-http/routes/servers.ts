import { Type } from 'typebox';
import { type Api, route } from '../route.ts';
import { CompressionName, Retention, Schedule } from '../schemas.ts';

const tag = 'servers';
const params = Type.Object({ server: Type.String() });
const onto = Type.Object({ machine: Type.String({ minLength: 1, description: 'Id, name or MAC address' }) });
const settings = {
  schedule: Type.Optional(Schedule),
  retention: Type.Optional(Type.Partial(Retention)),
  excludes: Type.Optional(Type.Array(Type.String())),
  bandwidth: Type.Optional(Type.Integer({ description: 'Bytes a second that snapshots may send' })),
  compression: Type.Optional(CompressionName),
  address: Type.Optional(Type.String()),
};

export function serverRoutes(api: Api): void {
  recordRoutes(api);
  lifeRoutes(api);
}

function recordRoutes(api: Api): void {
  route(api, {
    method: 'POST',
    url: '/servers',
    role: 'operator',
    tag,
    summary: 'Creates a server: a role with an identity, on no machine yet',
    body: Type.Object({
      name: Type.String({ minLength: 1 }),
      master: Type.Optional(Type.String({ description: '`web@3`, or `web` for the newest' })),
      ...settings,
    }),
    response: 'Server',
    status: 201,
    handle: ({ control, body, by }) => control.createServer(body, by),
  });
  route(api, {
    method: 'GET',
    url: '/servers',
    role: 'viewer',
    tag,
    summary: 'All servers',
    response: { list: 'Server' },
    handle: ({ control }) => control.listServers(),
  });
  route(api, {
    method: 'GET',
    url: '/servers/:server',
    role: 'viewer',
    tag,
    summary: 'One server',
    params,
    response: 'Server',
    handle: ({ control, params: { server } }) => control.getServer(server),
  });
  route(api, {
    method: 'PATCH',
    url: '/servers/:server',
    role: 'operator',
    tag,
    summary: 'Changes schedule, retention, excludes, bandwidth, compression, address',
    params,
    body: Type.Object({
      ...settings,
      clearSchedule: Type.Optional(Type.Boolean()),
      clearBandwidth: Type.Optional(Type.Boolean()),
    }),
    response: 'Server',
    handle: ({ control, params: { server }, body, by }) => control.setServer(server, body, by),
  });
  route(api, {
    method: 'DELETE',
    url: '/servers/:server',
    role: 'admin',
    tag,
    summary: 'Removes a server that is on no machine, with its snapshots',
    params,
    handle: ({ control, params: { server }, by }) => control.removeServer(server, by),
  });
}

function lifeRoutes(api: Api): void {
  route(api, {
    method: 'POST',
    url: '/servers/:server/assign',
    role: 'operator',
    tag,
    summary: 'Provisions the server on a machine',
    params,
    body: onto,
    response: 'Operation',
    status: 202,
    handle: ({ control, params: { server }, body, by }) => control.assignServer(server, body.machine, by),
  });
  route(api, {
    method: 'POST',
    url: '/servers/:server/release',
    role: 'operator',
    tag,
    summary: 'Takes the server off its machine',
    params,
    response: 'Server',
    handle: ({ control, params: { server }, by }) => control.releaseServer(server, by),
  });
  route(api, {
    method: 'POST',
    url: '/servers/:server/move',
    role: 'operator',
    tag,
    summary: 'Brings the server back on another machine, from its newest snapshot',
    params,
    body: onto,
    response: 'Operation',
    status: 202,
    handle: ({ control, params: { server }, body: { machine }, by }) => control.move({ server, machine }, by),
  });
  route(api, {
    method: 'POST',
    url: '/servers/:server/rollback',
    role: 'operator',
    tag,
    summary:
      'Takes the server back in time; its younger snapshots are marked suspect, unless `only` narrows it',
    params,
    body: Type.Object({
      to: Type.String({ minLength: 1, description: 'Snapshot selector; times carry an offset' }),
      strictlyBefore: Type.Optional(Type.Boolean()),
      dryRun: Type.Optional(Type.Boolean()),
      keep: Type.Optional(Type.Array(Type.String())),
      only: Type.Optional(Type.Array(Type.String())),
      safetySnapshot: Type.Optional(Type.Boolean({ description: 'Default true' })),
    }),
    response: 'Operation',
    status: 202,
    handle: ({ control, params: { server }, body, by }) => control.rollback({ ...body, server }, by),
  });
}
