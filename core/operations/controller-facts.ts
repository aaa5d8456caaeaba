/** Asks management controllers what machines they sit in, beside everything else, and keeps the answer. */

import type { ControllerFacts, Machine } from '../domain/machine.ts';
import { normalizeMac, normalizeUuid } from '../domain/machine.ts';
import type { OperationServices } from './services.ts';

/** A controller is slow and does not change: asked at most so often for a machine that is seen, milliseconds. */
const EVERY_MS = 3_600_000;
const LIMIT_MS = 120_000;
const MAX_TEXT = 255;

export interface ControllerDeps extends Pick<OperationServices, 'power' | 'catalogue' | 'clock' | 'log'> {
  /** Rules of admission may have waited for the answer. */
  readmit(machine: Machine): Promise<Machine>;
}

export interface Controllers {
  /** Asks now, writes down what came, and admits with it. The record as it is then; rejects as the driver does. */
  ask(machine: Machine, signal: AbortSignal): Promise<Machine>;
  /** For a machine that was seen: asks now and then. Returns at once; a failure is logged. */
  inquire(machine: Machine): void;
}

export function controllers(deps: ControllerDeps): Controllers {
  const askedAt = new Map<string, number>();
  const ask: Controllers['ask'] = (machine, signal) => askController(deps, machine, signal);
  return {
    ask,
    inquire(machine) {
      const now = deps.clock.now();
      if (now - (askedAt.get(machine.id) ?? Number.NEGATIVE_INFINITY) < EVERY_MS) return;
      askedAt.set(machine.id, now);
      ask(machine, AbortSignal.timeout(LIMIT_MS)).catch((error: unknown) => {
        // A rule may wait for it: asked again as soon as the machine is seen again.
        askedAt.delete(machine.id);
        deps.log.warn(
          { machine: machine.name, error: String(error) },
          'its management controller does not say what it is; asked again when it is seen again, or by `overdub machine power NAME status`',
        );
      });
    },
  };
}

async function askController(
  { power, catalogue, clock, readmit }: ControllerDeps,
  machine: Machine,
  signal: AbortSignal,
): Promise<Machine> {
  const said = await power.facts(machine, signal);
  // That nobody can say anything is an answer too, once: rules do not wait for it any longer.
  if (said === undefined && machine.controller !== undefined) return machine;
  const controller = { ...checked(said ?? {}), at: new Date(clock.now()).toISOString() };
  return readmit(
    await catalogue.machines.update(machine.id, (record) => ({ ...record, controller }), 'soon'),
  );
}

/** A driver's word in the forms of the record; what has none is left out. */
function checked(said: ControllerFacts): ControllerFacts {
  const texts = (['vendor', 'product', 'serial', 'biosVersion', 'firmwareVersion'] as const).flatMap(
    (key) => {
      const value = said[key]?.trim() ?? '';
      return value === '' ? [] : [[key, value.slice(0, MAX_TEXT)] as const];
    },
  );
  const [uuid, mac] = [normalizeUuid(said.uuid), normalizeMac(said.mac ?? '')];
  return {
    ...Object.fromEntries(texts),
    ...(uuid === undefined ? {} : { uuid }),
    ...(mac === undefined ? {} : { mac }),
    ...(said.watts !== undefined && said.watts >= 0 ? { watts: Math.round(said.watts) } : {}),
  };
}
