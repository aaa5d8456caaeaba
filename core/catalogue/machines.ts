import type { Machine } from '../domain/machine.ts';
import { OverdubError } from '../errors.ts';
import type { GroupCommit } from './group-commit.ts';
import { MachineIndex } from './machine-index.ts';
import type { CatalogueDatabase } from './schema.ts';

/**
 * Machines. A MAC address and a name belong to one machine at most; a UUID is only a claim. Reading costs no query:
 * the records are held in memory, a few kilobytes a machine.
 */
export interface MachineRecords {
  list(): Promise<Machine[]>;
  get(id: string): Promise<Machine | undefined>;
  byName(name: string): Promise<Machine | undefined>;
  byMac(mac: string): Promise<Machine | undefined>;
  /** Everybody who claims it. */
  byUuid(uuid: string): Promise<Machine[]>;
  /** CONFLICT when the name or a MAC is taken. */
  add(machine: Machine, durability?: Durability): Promise<Machine>;
  /** Read, change, write at once. What `change` throws leaves the record as it was. NOT_FOUND, CONFLICT. */
  update(id: string, change: (machine: Machine) => Machine, durability?: Durability): Promise<Machine>;
  remove(id: string): Promise<void>;
}

/**
 * `durable` (the default): resolves when it is on the disk. `soon`: at once; it is written within moments, together
 * with others, and a crash before that forgets it. For what is seen of machines, never for what somebody decided. While
 * the disk takes nothing, `soon` waits and fails as `durable` does.
 */
export type Durability = 'durable' | 'soon';

/** How long a change that nobody waits for may wait for company, milliseconds. */
const SOON_MS = 500;
/** Records written in one transaction. */
const AT_A_TIME = 25;

/** {@link MachineRecords} over one database that nobody else writes. */
export class CachedMachines implements MachineRecords {
  readonly #db: CatalogueDatabase;
  readonly #group: GroupCommit;
  readonly #unwritten = new Set<string>();
  /** Changes of one record take turns; it is held until they are written, or undone. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #loaded: Promise<MachineIndex> | undefined;
  #failing = false;

  constructor(db: CatalogueDatabase, group: GroupCommit) {
    this.#db = db;
    this.#group = group;
  }

  async list(): Promise<Machine[]> {
    return (await this.#index()).all();
  }

  async get(id: string): Promise<Machine | undefined> {
    return (await this.#index()).get(id);
  }

  async byName(name: string): Promise<Machine | undefined> {
    return (await this.#index()).byName(name);
  }

  async byMac(mac: string): Promise<Machine | undefined> {
    return (await this.#index()).byMac(mac);
  }

  async byUuid(uuid: string): Promise<Machine[]> {
    return (await this.#index()).byUuid(uuid);
  }

  async add(machine: Machine, durability: Durability = 'durable'): Promise<Machine> {
    const index = await this.#index();
    return this.#inTurn(machine.id, () => this.#put(index, machine, durability));
  }

  async update(
    id: string,
    change: (machine: Machine) => Machine,
    durability: Durability = 'durable',
  ): Promise<Machine> {
    const index = await this.#index();
    return this.#inTurn(id, () => {
      const before = index.get(id);
      if (before === undefined) {
        throw new OverdubError(
          'NOT_FOUND',
          `There is no machine ${id}.`,
          'List the machines: overdub machine list.',
        );
      }
      return this.#put(index, change(before), durability);
    });
  }

  async remove(id: string): Promise<void> {
    const index = await this.#index();
    await this.#inTurn(id, async () => {
      const before = index.get(id);
      index.remove(id);
      try {
        await this.#group.now((transaction) => erase(transaction, id));
      } catch (error) {
        if (before !== undefined) index.put(before);
        throw error;
      }
    });
  }

  /** Nothing is known any more: the next question goes to the database, or fails with it when that is closed. */
  forget(): void {
    this.#loaded = undefined;
  }

  async #put(index: MachineIndex, changed: Machine, durability: Durability): Promise<Machine> {
    // What the database would give back: no undefined fields, nothing shared with the caller.
    const machine = JSON.parse(JSON.stringify(changed)) as Machine;
    const before = index.get(machine.id);
    index.assertFree(machine);
    index.put(machine);
    if (durability === 'soon' && !this.#failing) {
      this.#writeSoon(index, machine.id);
      return machine;
    }
    try {
      await this.#group.now((transaction) => write(transaction, [machine]));
    } catch (error) {
      if (before === undefined) index.remove(machine.id);
      else index.put(before);
      throw error;
    }
    if (this.#failing && this.#unwritten.size > 0) this.#flush(index, 0);
    this.#failing = false;
    return machine;
  }

  /** However often a record changes meanwhile, it is written once, as it is then. */
  #writeSoon(index: MachineIndex, id: string): void {
    this.#unwritten.add(id);
    if (this.#unwritten.size === 1) this.#flush(index, SOON_MS);
  }

  /** A few records a transaction: between two, machines that boot get their answers. */
  #flush(index: MachineIndex, withinMs: number): void {
    let ids: readonly string[] = [];
    this.#group
      .soon(withinMs, async (transaction) => {
        ids = [...this.#unwritten].slice(0, AT_A_TIME);
        await write(
          transaction,
          ids.flatMap((id) => index.get(id) ?? []),
        );
      })
      .then(
        () => {
          for (const id of ids) this.#unwritten.delete(id);
          if (this.#unwritten.size > 0) this.#flush(index, 0);
        },
        () => {
          // Not lost: they stay unwritten, and the next change waits for the disk and says what is wrong.
          this.#failing = true;
        },
      );
  }

  async #inTurn<T>(id: string, work: () => T | Promise<T>): Promise<T> {
    const before = this.#turns.get(id);
    const turn = before === undefined ? (async () => work())() : before.then(work, work);
    this.#turns.set(id, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    }
  }

  #index(): Promise<MachineIndex> {
    this.#loaded ??= this.#load().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #load(): Promise<MachineIndex> {
    const index = new MachineIndex();
    for (const { record } of await this.#db.selectFrom('machines').select('record').execute()) {
      index.put(JSON.parse(record) as Machine);
    }
    return index;
  }
}

async function erase(db: CatalogueDatabase, id: string): Promise<void> {
  await db.deleteFrom('machine_macs').where('machine_id', '=', id).execute();
  await db.deleteFrom('machines').where('id', '=', id).execute();
}

async function write(db: CatalogueDatabase, machines: readonly Machine[]): Promise<void> {
  if (machines.length === 0) return;
  await db
    .insertInto('machines')
    .values(
      machines.map((machine) => {
        const { id, name, uuid } = machine;
        return { id, name, uuid: uuid ?? null, record: JSON.stringify(machine) };
      }),
    )
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((row) => ({
        name: row.ref('excluded.name'),
        uuid: row.ref('excluded.uuid'),
        record: row.ref('excluded.record'),
      })),
    )
    .execute();
  const ids = machines.map(({ id }) => id);
  const macs = machines.flatMap((machine) => machine.macs.map((mac) => ({ mac, machine_id: machine.id })));
  await db.deleteFrom('machine_macs').where('machine_id', 'in', ids).execute();
  if (macs.length > 0) await db.insertInto('machine_macs').values(macs).execute();
}
