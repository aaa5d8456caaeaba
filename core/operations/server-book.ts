/** The one place that changes server records: in the catalogue, and in the repository, from which they survive it. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { ServerRecords } from '../catalogue/servers.ts';
import { noSuchServer } from '../catalogue/servers.ts';
import type { Log } from '../contracts/log.ts';
import type { Repository } from '../contracts/repository.ts';
import type { Server, ServerIdentity } from '../domain/server.ts';
import type { EventBus } from './events.ts';

/** Kind of the repository records that mirror servers. */
export const SERVER_RECORD_KIND = 'servers';

export interface ServerBook {
  /** NOT_FOUND. */
  get(name: string): Promise<Server>;
  /** Durable in the repository first. CONFLICT when the name is taken. */
  create(server: Server): Promise<Server>;
  /** Read, change, write at once; tells of a new state. NOT_FOUND. */
  update(name: string, change: (server: Server) => Server): Promise<Server>;
  remove(name: string): Promise<void>;
  /** After a burnt appliance: takes in servers the repository knows and the catalogue does not; renews mirrors. */
  reconcile(): Promise<void>;
}

export interface ServerBookDeps {
  readonly records: ServerRecords;
  readonly repository: Pick<Repository, 'putRecord' | 'listRecords' | 'removeRecord'>;
  readonly events: EventBus;
  readonly log: Log;
}

export function serverBook({ records, repository, events, log }: ServerBookDeps): ServerBook {
  let mirroring: Promise<void> = Promise.resolve();

  /** In turn, and always the newest state: mirrors never go back in time. */
  function mirror(name: string): Promise<void> {
    mirroring = mirroring.then(async () => {
      try {
        const server = await records.get(name);
        if (server !== undefined) await repository.putRecord(SERVER_RECORD_KIND, name, server);
      } catch (error) {
        log.error(
          { server: name, error: String(error) },
          'the server record in the repository is out of date; it is renewed at the next start and daily',
        );
      }
    });
    return mirroring;
  }

  return {
    async get(name) {
      const server = await records.get(name);
      if (server === undefined) throw noSuchServer(name);
      return server;
    },
    async create(server) {
      if ((await records.get(server.name)) === undefined) {
        await repository.putRecord(SERVER_RECORD_KIND, server.name, server);
      }
      return records.add(server);
    },
    async update(name, change) {
      const { before, after } = await records.update(name, change);
      await mirror(name);
      if (before.state !== after.state) {
        events.emit(
          'server.state',
          { server: name, ...(after.machineId === undefined ? {} : { machine: after.machineId }) },
          `${name} is ${after.state}`,
          { before: before.state, after: after.state },
        );
      }
      return after;
    },
    async remove(name) {
      await records.remove(name);
      await repository.removeRecord(SERVER_RECORD_KIND, name);
    },
    async reconcile() {
      const known = new Set((await records.list()).map((server) => server.name));
      for (const { id, value } of await repository.listRecords(SERVER_RECORD_KIND)) {
        if (known.has(id)) continue;
        const { machineId: _gone, ...server } = value as Server;
        await records.add({ ...server, state: server.master === undefined ? 'enrolled' : 'unassigned' });
        log.warn({ server: id }, 'server taken over from the repository; assign it to a machine');
      }
      for (const name of known) await mirror(name);
    },
  };
}

/** A server's own identity, random: machine-id(5) is a version 4 UUID without dashes. */
export function newIdentity(hostname: string): ServerIdentity {
  return {
    hostname,
    machineId: randomUUID().replaceAll('-', ''),
    rootUuid: randomUUID(),
    espId: randomBytes(4).toString('hex').toUpperCase(),
  };
}
