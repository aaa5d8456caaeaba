/** Machines, as administrators see and change them. */

import type { ApplianceControl } from '../contracts/control.ts';
import { type Admission, type Machine, normalizeMac } from '../domain/machine.ts';
import { withLabelsByHand } from '../domain/rule-labels.ts';
import { isServerName } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import { isStale } from '../operations/assignment.ts';
import type { ControlDeps } from './deps.ts';

type MachineControl = Pick<
  ApplianceControl,
  | 'listMachines'
  | 'getMachine'
  | 'acceptMachine'
  | 'rejectMachine'
  | 'labelMachine'
  | 'renameMachine'
  | 'forgetMachine'
  | 'powerMachine'
>;

/** Off and on again, each with its time to take effect. */
const POWER_MS = 180_000;

export function machineControl(deps: ControlDeps): MachineControl {
  const { catalogue, events } = deps;
  const find = (ref: string) => findMachine(deps, ref);

  async function decide(ref: string, admission: Admission, by: string): Promise<Machine> {
    const machine = await find(ref);
    if (admission === 'rejected') await assertFree(deps, machine, 'reject');
    const decided = await catalogue.machines.update(machine.id, (record) => ({
      ...record,
      admission,
      admissionReason: `${admission} by ${by}`,
      admissionBy: by,
    }));
    const text = `${decided.name} was ${admission} by ${by}`;
    events.emit(
      admission === 'accepted' ? 'machine.accepted' : 'machine.rejected',
      { machine: machine.id },
      text,
    );
    return decided;
  }

  return {
    listMachines: ({ uuid } = {}) =>
      uuid === undefined ? catalogue.machines.list() : catalogue.machines.byUuid(uuid),
    getMachine: find,
    acceptMachine: (ref, by) => decide(ref, 'accepted', by),
    rejectMachine: (ref, by) => decide(ref, 'rejected', by),
    async labelMachine(ref, changes) {
      const { id } = await find(ref);
      for (const [key, value] of Object.entries(changes)) assertLabel(key, value);
      return catalogue.machines.update(id, (machine) => withLabelsByHand(machine, changes));
    },
    async powerMachine(ref, action, by) {
      const machine = await find(ref);
      if (action !== 'status') deps.log.info({ machine: machine.name, action, by }, 'power order');
      const signal = AbortSignal.timeout(POWER_MS);
      const report = await deps.power.perform(machine, action, signal);
      if (action === 'status') {
        await deps.controllers
          .ask(machine, signal)
          .catch((error: unknown) =>
            deps.log.warn(
              { machine: machine.name, error: String(error) },
              'its controller does not say what it is',
            ),
          );
      }
      return report;
    },
    async renameMachine(ref, name) {
      const { id } = await find(ref);
      if (!isServerName(name)) {
        throw new OverdubError(
          'INPUT_INVALID',
          `${JSON.stringify(name)} cannot name a machine.`,
          'Use up to 63 lower-case letters, digits and dashes.',
        );
      }
      return catalogue.machines.update(id, (machine) => ({ ...machine, name }));
    },
    async forgetMachine(ref) {
      const machine = await find(ref);
      await assertFree(deps, machine, 'forget');
      await catalogue.nonces.removeFor(machine.id);
      await catalogue.machines.remove(machine.id);
    },
  };
}

/** By id, name or MAC. NOT_FOUND. */
export async function findMachine({ catalogue }: ControlDeps, ref: string): Promise<Machine> {
  const { machines } = catalogue;
  const mac = normalizeMac(ref);
  const found =
    (await machines.get(ref)) ??
    (await machines.byName(ref)) ??
    (mac === undefined ? undefined : await machines.byMac(mac));
  if (found !== undefined) return found;
  throw new OverdubError(
    'NOT_FOUND',
    `There is no machine ${JSON.stringify(ref)}.`,
    'List the machines: overdub machine list.',
  );
}

/** CONFLICT while the machine carries a server, or an open operation works on it. */
async function assertFree({ catalogue, engine }: ControlDeps, machine: Machine, what: string): Promise<void> {
  const busy = engine.open().find((operation) => operation.machineId === machine.id);
  const server =
    machine.serverName === undefined ? undefined : await catalogue.servers.get(machine.serverName);
  const carries = server !== undefined && !isStale(machine, server);
  if (busy === undefined && !carries) return;
  throw new OverdubError(
    'CONFLICT',
    busy === undefined
      ? `${machine.name} carries ${machine.serverName}.`
      : `${machine.name} is busy: ${busy.kind} ${busy.id} works on it.`,
    busy === undefined
      ? `Release the server first (overdub server release ${machine.serverName}), then ${what} the machine.`
      : `Wait for it or cancel it: overdub operation cancel ${busy.id}.`,
  );
}

function assertLabel(key: string, value: unknown): void {
  const goodKey = /^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$/i.test(key);
  if (goodKey && (value === null || (typeof value === 'string' && value.length <= 255))) return;
  throw new OverdubError(
    'INPUT_INVALID',
    `${JSON.stringify(key)} is no label, or its value is too long.`,
    'Labels are KEY=VALUE: letters, digits, dot, dash, slash; values of up to 255 characters.',
  );
}
