import type { Machine } from '../domain/machine.ts';
import { OverdubError } from '../errors.ts';
import type { CatalogueDatabase } from './schema.ts';

/** Machines. A MAC address and a name belong to one machine at most; a UUID is only a claim. */
export interface MachineRecords {
  list(): Promise<Machine[]>;
  get(id: string): Promise<Machine | undefined>;
  byName(name: string): Promise<Machine | undefined>;
  byMac(mac: string): Promise<Machine | undefined>;
  byUuid(uuid: string): Promise<Machine[]>;
  /** CONFLICT when the name or a MAC is taken. */
  add(machine: Machine): Promise<Machine>;
  /** Read, change, write in one transaction. What `change` throws leaves the record as it was. NOT_FOUND, CONFLICT. */
  update(id: string, change: (machine: Machine) => Machine): Promise<Machine>;
  remove(id: string): Promise<void>;
}

export function machineRecords(db: CatalogueDatabase): MachineRecords {
  const one = async (rows: Promise<{ record: string } | undefined>) => parse(await rows);
  const select = () => db.selectFrom('machines').select('machines.record');
  return {
    async list() {
      return (await select().orderBy('name').execute()).map((row) => JSON.parse(row.record) as Machine);
    },
    get: (id) => one(select().where('id', '=', id).executeTakeFirst()),
    byName: (name) => one(select().where('name', '=', name).executeTakeFirst()),
    byMac: (mac) =>
      one(
        select()
          .innerJoin('machine_macs', 'machine_macs.machine_id', 'machines.id')
          .where('machine_macs.mac', '=', mac)
          .executeTakeFirst(),
      ),
    async byUuid(uuid) {
      const rows = await select().where('uuid', '=', uuid).orderBy('id').execute();
      return rows.map((row) => JSON.parse(row.record) as Machine);
    },
    add: (machine) => db.transaction().execute((transaction) => write(transaction, machine)),
    update: (id, change) =>
      db.transaction().execute(async (transaction) => {
        const row = await transaction
          .selectFrom('machines')
          .select('record')
          .where('id', '=', id)
          .executeTakeFirst();
        const before = parse(row);
        if (before === undefined) {
          throw new OverdubError(
            'NOT_FOUND',
            `There is no machine ${id}.`,
            'List the machines: overdub machine list.',
          );
        }
        const after = change(before);
        await erase(transaction, id);
        return write(transaction, after);
      }),
    remove: (id) => db.transaction().execute((transaction) => erase(transaction, id)),
  };
}

async function erase(db: CatalogueDatabase, id: string): Promise<void> {
  await db.deleteFrom('machine_macs').where('machine_id', '=', id).execute();
  await db.deleteFrom('machines').where('id', '=', id).execute();
}

async function write(db: CatalogueDatabase, machine: Machine): Promise<Machine> {
  const named = await db
    .selectFrom('machines')
    .select('id')
    .where('name', '=', machine.name)
    .executeTakeFirst();
  if (named !== undefined) {
    throw new OverdubError(
      'CONFLICT',
      `Another machine is called ${machine.name} already.`,
      'Choose another name.',
    );
  }
  for (const mac of machine.macs) {
    const owner = await db
      .selectFrom('machine_macs')
      .select('machine_id')
      .where('mac', '=', mac)
      .executeTakeFirst();
    if (owner !== undefined) {
      throw new OverdubError(
        'CONFLICT',
        `The MAC address ${mac} belongs to machine ${owner.machine_id} already.`,
        'Forget that machine first if the network card moved: overdub machine forget.',
      );
    }
    await db.insertInto('machine_macs').values({ mac, machine_id: machine.id }).execute();
  }
  const { id, name, uuid } = machine;
  await db
    .insertInto('machines')
    .values({ id, name, uuid: uuid ?? null, record: JSON.stringify(machine) })
    .execute();
  return machine;
}

function parse(row: { record: string } | undefined): Machine | undefined {
  return row === undefined ? undefined : (JSON.parse(row.record) as Machine);
}
