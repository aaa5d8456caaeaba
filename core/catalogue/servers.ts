import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import type { CatalogueDatabase } from './schema.ts';

/** Servers, by name. */
export interface ServerRecords {
  list(): Promise<Server[]>;
  get(name: string): Promise<Server | undefined>;
  /** The fixed addresses of all; asked for each DHCP message, so it is no query unless something changed. */
  addresses(): Promise<readonly string[]>;
  /** CONFLICT when the name is taken. */
  add(server: Server): Promise<Server>;
  /** Read, change, write in one transaction. What `change` throws leaves the record as it was. NOT_FOUND. */
  update(name: string, change: (server: Server) => Server): Promise<{ before: Server; after: Server }>;
  remove(name: string): Promise<void>;
}

export function serverRecords(db: CatalogueDatabase): ServerRecords {
  const find = async (database: CatalogueDatabase, name: string): Promise<Server | undefined> => {
    const row = await database
      .selectFrom('servers')
      .select('record')
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : (JSON.parse(row.record) as Server);
  };
  const list = async (): Promise<Server[]> => {
    const rows = await db.selectFrom('servers').select('record').orderBy('name').execute();
    return rows.map((row) => JSON.parse(row.record) as Server);
  };
  let known: Promise<readonly string[]> | undefined;
  const changed = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } finally {
      known = undefined;
    }
  };
  return {
    list,
    addresses() {
      known ??= list().then((servers) => servers.flatMap(({ address }) => address ?? []));
      known.catch(() => {
        known = undefined;
      });
      return known;
    },
    get: (name) => find(db, name),
    add: (server) =>
      changed(
        db.transaction().execute(async (transaction) => {
          if ((await find(transaction, server.name)) !== undefined) {
            throw new OverdubError(
              'CONFLICT',
              `There is a server ${server.name} already.`,
              'Choose another name, or change that one: overdub server set.',
            );
          }
          await transaction
            .insertInto('servers')
            .values({ name: server.name, record: JSON.stringify(server) })
            .execute();
          return server;
        }),
      ),
    update: (name, change) =>
      changed(
        db.transaction().execute(async (transaction) => {
          const before = await find(transaction, name);
          if (before === undefined) throw noSuchServer(name);
          const after = change(before);
          await transaction
            .updateTable('servers')
            .set({ record: JSON.stringify(after) })
            .where('name', '=', name)
            .execute();
          return { before, after };
        }),
      ),
    async remove(name) {
      await changed(db.deleteFrom('servers').where('name', '=', name).execute());
    },
  };
}

/** NOT_FOUND, said the same way everywhere. */
export function noSuchServer(name: string): OverdubError {
  return new OverdubError(
    'NOT_FOUND',
    `There is no server ${name}.`,
    'List the servers: overdub server list; make one: overdub server create.',
  );
}
