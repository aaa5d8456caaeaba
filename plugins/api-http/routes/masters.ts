import { Type } from 'typebox';
import { type Api, route } from '../route.ts';

const tag = 'masters';
const params = Type.Object({ master: Type.String({ description: '`web@3`, or `web` for the newest' }) });

export function masterRoutes(api: Api): void {
  route(api, {
    method: 'POST',
    url: '/masters',
    role: 'admin',
    tag,
    summary: 'Imports a directory, tar or OCI archive that lies on the appliance',
    body: Type.Object({
      name: Type.String({ minLength: 1 }),
      source: Type.String({ minLength: 1, description: 'Absolute path on the appliance' }),
      allowUnbootable: Type.Optional(Type.Boolean()),
    }),
    response: 'Operation',
    status: 202,
    handle: ({ control, body, by }) => control.importMaster(body, by),
  });
  route(api, {
    method: 'GET',
    url: '/masters',
    role: 'viewer',
    tag,
    summary: 'All masters',
    response: { list: 'Master' },
    handle: ({ control }) => control.listMasters(),
  });
  route(api, {
    method: 'GET',
    url: '/masters/:master',
    role: 'viewer',
    tag,
    summary: 'One master',
    params,
    response: 'Master',
    handle: ({ control, params: { master } }) => control.getMaster(master),
  });
  route(api, {
    method: 'DELETE',
    url: '/masters/:master',
    role: 'admin',
    tag,
    summary: 'Removes a master that no server uses',
    params,
    handle: ({ control, params: { master }, by }) => control.removeMaster(master, by),
  });
}
