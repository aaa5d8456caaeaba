import { Type } from 'typebox';
import { type Api, route } from '../route.ts';

const tag = 'machines';
const params = Type.Object({ machine: Type.String({ description: 'Id, name or MAC address' }) });

export function machineRoutes(api: Api): void {
  route(api, {
    method: 'GET',
    url: '/machines',
    role: 'viewer',
    tag,
    summary: 'All machines',
    response: { list: 'Machine' },
    handle: ({ control }) => control.listMachines(),
  });
  route(api, {
    method: 'GET',
    url: '/machines/:machine',
    role: 'viewer',
    tag,
    summary: 'One machine',
    params,
    response: 'Machine',
    handle: ({ control, params: { machine } }) => control.getMachine(machine),
  });
  route(api, {
    method: 'POST',
    url: '/machines/:machine/accept',
    role: 'operator',
    tag,
    summary: 'Lets a machine have a role',
    params,
    response: 'Machine',
    handle: ({ control, params: { machine }, by }) => control.acceptMachine(machine, by),
  });
  route(api, {
    method: 'POST',
    url: '/machines/:machine/reject',
    role: 'operator',
    tag,
    summary: 'Answers a machine with silence from now on',
    params,
    response: 'Machine',
    handle: ({ control, params: { machine }, by }) => control.rejectMachine(machine, by),
  });
  route(api, {
    method: 'GET',
    url: '/machines/:machine/power',
    role: 'viewer',
    tag,
    summary: 'Is it on? Asks its power driver',
    params,
    response: 'PowerReport',
    handle: ({ control, params: { machine }, by }) => control.powerMachine(machine, 'status', by),
  });
  route(api, {
    method: 'POST',
    url: '/machines/:machine/power',
    role: 'operator',
    tag,
    summary: 'Switches its power by its driver; `netboot` has its next boot go to the network',
    params,
    body: Type.Object({
      action: Type.Union((['on', 'off', 'cycle', 'netboot'] as const).map((action) => Type.Literal(action))),
    }),
    response: 'PowerReport',
    handle: ({ control, params: { machine }, body: { action }, by }) =>
      control.powerMachine(machine, action, by),
  });
  route(api, {
    method: 'PATCH',
    url: '/machines/:machine',
    role: 'operator',
    tag,
    summary: 'Renames a machine, sets labels (null removes one)',
    params,
    body: Type.Object({
      name: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
      labels: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]))),
    }),
    response: 'Machine',
    handle: async ({ control, params: { machine }, body: { name, labels }, by }) => {
      // By id: the name that was asked for may be the one that changes.
      const { id } = await control.getMachine(machine);
      if (labels !== undefined) await control.labelMachine(id, labels, by);
      return name === undefined ? control.getMachine(id) : control.renameMachine(id, name, by);
    },
  });
  route(api, {
    method: 'DELETE',
    url: '/machines/:machine',
    role: 'admin',
    tag,
    summary: 'Forgets a machine; seen again, it is new',
    params,
    handle: ({ control, params: { machine }, by }) => control.forgetMachine(machine, by),
  });
}
