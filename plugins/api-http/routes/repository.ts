import { Type } from 'typebox';
import { type Api, route } from '../route.ts';

const tag = 'repository';

export function repositoryRoutes(api: Api): void {
  route(api, {
    method: 'POST',
    url: '/repository/gc',
    role: 'operator',
    tag,
    summary: 'Collects what no snapshot and no master needs any more; with `dryRun` only says what that is',
    body: Type.Object({ dryRun: Type.Optional(Type.Boolean()) }),
    response: 'Operation',
    status: 202,
    handle: ({ control, body, by }) => control.collectGarbage(body, by),
  });
  route(api, {
    method: 'POST',
    url: '/repository/verify',
    role: 'operator',
    tag,
    summary: 'Looks for damage; with `readData` also reads what is stored, or `samplePercent` of it',
    body: Type.Object({
      readData: Type.Optional(Type.Boolean()),
      samplePercent: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100 })),
    }),
    response: 'Operation',
    status: 202,
    handle: ({ control, body, by }) => control.verifyRepository(body, by),
  });
  route(api, {
    method: 'POST',
    url: '/repository/repair',
    role: 'operator',
    tag,
    summary:
      'Gets what is damaged from the machines that still have it; with `readData` reads everything first',
    body: Type.Object({ readData: Type.Optional(Type.Boolean()) }),
    response: 'Operation',
    status: 202,
    handle: ({ control, body, by }) => control.repairRepository(body, by),
  });
  route(api, {
    method: 'POST',
    url: '/repository/optimise',
    role: 'operator',
    tag,
    summary: 'Compresses the repository harder, in the background',
    response: 'Operation',
    status: 202,
    handle: ({ control, by }) => control.optimise(by),
  });
  route(api, {
    method: 'GET',
    url: '/repository/stats',
    role: 'viewer',
    tag,
    summary: 'What the repository holds, by form, server and master; counted anew',
    response: 'Usage',
    handle: ({ control }) => control.repositoryUsage(),
  });
}
