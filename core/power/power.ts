/** The core's hold on power drivers: time limits, repetition, one order a machine at a time, and whether it took effect. */

import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import type { PowerAction, PowerControl, PowerReport, PowerService, PowerState } from '../contracts/power.ts';
import type { ControllerFacts, Machine } from '../domain/machine.ts';
import { OverdubError, toOverdubError } from '../errors.ts';
import type { HookCalls } from '../hooks/hooks.ts';

const CALL_MS = 30_000;
const TRIES = 3;
const PAUSE_MS = 2000;
/** How long a machine may take to be what it was ordered to be. */
const EFFECT_MS = 60_000;

export interface PowerDeps {
  readonly hooks: HookCalls;
  readonly clock: Clock;
  readonly log: Log;
}

export function powerService(deps: PowerDeps): PowerService {
  const turns = new Map<string, Promise<unknown>>();
  const inTurn = <T>(machine: Machine, work: () => Promise<T>): Promise<T> => {
    const mine = (turns.get(machine.id) ?? Promise.resolve()).then(work, work);
    const settled = mine
      .catch(() => undefined)
      .then(() => {
        if (turns.get(machine.id) === settled) turns.delete(machine.id);
      });
    turns.set(machine.id, settled);
    return mine;
  };
  return {
    perform: (machine, action, signal) =>
      inTurn(machine, async () => {
        const control = await deps.hooks.call('boot.power', { machine });
        if (control === undefined) throw noSwitch(machine);
        return new Switch(deps, machine, control, signal).perform(action);
      }),
    facts: (machine, signal) =>
      inTurn(machine, async () => {
        const control = await deps.hooks.call('boot.power', { machine });
        if (control?.features.facts !== true) return undefined;
        return new Switch(deps, machine, control, signal).facts();
      }),
    bootFromNetwork: (machine, signal) =>
      inTurn(machine, async () => {
        try {
          const control = await deps.hooks.call('boot.power', { machine });
          if (control === undefined) return false;
          await new Switch(deps, machine, control, signal).bootFromNetwork();
          return true;
        } catch (error) {
          signal.throwIfAborted();
          deps.log.warn({ machine: machine.name, error: String(error) }, 'its power cannot be switched');
          return false;
        }
      }),
  };
}

class Switch {
  readonly #deps: PowerDeps;
  readonly #machine: Machine;
  readonly #control: PowerControl;
  readonly #signal: AbortSignal;

  constructor(deps: PowerDeps, machine: Machine, control: PowerControl, signal: AbortSignal) {
    this.#deps = deps;
    this.#machine = machine;
    this.#control = control;
    this.#signal = signal;
  }

  async perform(action: PowerAction): Promise<PowerReport> {
    if (action === 'on' || action === 'off') await this.#switchTo(action);
    else if (action === 'cycle') await this.#cycle();
    else if (action === 'netboot') await this.#call('netboot');
    else this.#method('state');
    return { where: this.#control.where, state: await this.#state() };
  }

  async facts(): Promise<ControllerFacts> {
    return (await this.#call('facts')) as ControllerFacts;
  }

  async bootFromNetwork(): Promise<void> {
    const { netboot, cycle, off } = this.#control.features;
    if (netboot) {
      // Some ignore it; machines of ours try the network first anyway.
      await this.#call('netboot').catch((error: unknown) => {
        this.#signal.throwIfAborted();
        this.#deps.log.warn(
          { machine: this.#machine.name, error: String(error) },
          'no one-time network boot',
        );
      });
    }
    if (cycle || off) await this.#cycle();
    else await this.#switchTo('on');
  }

  async #switchTo(wanted: 'on' | 'off'): Promise<void> {
    await this.#call(wanted);
    await this.#reached(wanted);
  }

  /** A machine that is off has nothing to cut: it is switched on. */
  async #cycle(): Promise<void> {
    if ((await this.#state()) === 'off') return this.#switchTo('on');
    if (this.#control.features.cycle) {
      await this.#call('cycle');
      return this.#reached('on');
    }
    await this.#switchTo('off');
    await this.#switchTo('on');
  }

  async #state(): Promise<PowerState> {
    return this.#control.features.state ? ((await this.#call('state')) as PowerState) : 'unknown';
  }

  async #reached(wanted: PowerState): Promise<void> {
    if (!this.#control.features.state) return;
    const until = this.#deps.clock.now() + EFFECT_MS;
    while ((await this.#state()) !== wanted) {
      if (this.#deps.clock.now() >= until) {
        throw new OverdubError(
          'TIMED_OUT',
          `${this.#machine.name} was ordered ${wanted} (${this.#control.where}) and is not after ${EFFECT_MS / 1000} s.`,
          'Look at the machine and its management controller; order it again.',
        );
      }
      await this.#deps.clock.sleep(PAUSE_MS, this.#signal);
    }
  }

  /** The driver's method, bound. DRIVER_MISSING when it has none. */
  #method(name: Method): (signal: AbortSignal) => Promise<unknown> {
    const { features, where } = this.#control;
    const able = name === 'on' || features[name];
    const method = able ? this.#control[name] : undefined;
    if (method !== undefined) return method.bind(this.#control);
    throw new OverdubError(
      'DRIVER_MISSING',
      `The power switch of ${this.#machine.name} (${where}) cannot do "${name}".`,
      'Do it by hand, or configure a power plugin for it that can.',
    );
  }

  async #call(name: Method): Promise<unknown> {
    const method = this.#method(name);
    for (let attempt = 1; ; attempt++) {
      const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(CALL_MS)]);
      try {
        return await within(method(limit), limit);
      } catch (error) {
        this.#signal.throwIfAborted();
        // A cycle whose answer was lost may have happened: not twice.
        if (attempt >= TRIES || name === 'cycle') throw this.#failed(name, error);
        await this.#deps.clock.sleep(PAUSE_MS * attempt, this.#signal);
      }
    }
  }

  #failed(name: Method, error: unknown): OverdubError {
    if (error instanceof OverdubError) return error;
    const reason = error instanceof Error ? error.message : toOverdubError(error).message;
    return new OverdubError(
      'PLUGIN_FAILED',
      `The power switch of ${this.#machine.name} (${this.#control.where}) failed at "${name}": ${reason}`,
      'Check its address and credentials in the power plugin’s options, and whether its network can be reached.',
      { cause: error, hook: 'boot.power' },
    );
  }
}

/** A driver that forgets its signal holds nobody up. */
function within<T>(work: Promise<T>, limit: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>();
  const abort = (): void => late.reject(limit.reason);
  limit.addEventListener('abort', abort, { once: true });
  return Promise.race([work, late.promise]).finally(() => limit.removeEventListener('abort', abort));
}

type Method = 'on' | 'off' | 'cycle' | 'state' | 'netboot' | 'facts';

function noSwitch(machine: Machine): OverdubError {
  return new OverdubError(
    'DRIVER_MISSING',
    `No configured plugin switches the power of ${machine.name}.`,
    'Add it to the options of power-ipmi, power-redfish, power-wol or power-exec, by name or MAC address.',
  );
}
