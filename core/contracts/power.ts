/** A machine's power switch, as a driver: few required methods, the rest declared as features. */

import type { ControllerFacts, Machine } from '../domain/machine.ts';

/** `unknown`: the switch does not say, or the machine is on its way from one to the other. */
export type PowerState = 'on' | 'off' | 'unknown';

/** Abilities beyond switching on. Each has cases in the conformance suite. */
export interface PowerFeatures {
  /** Can cut the power at once, without asking the operating system. */
  readonly off: boolean;
  /** Can cut and return it in one order. Without it, off and on do. */
  readonly cycle: boolean;
  /** Can tell whether the machine is on. */
  readonly state: boolean;
  /** Can have the next boot, and only that one, go to the network. */
  readonly netboot: boolean;
  /** Can say what machine it is the switch of. Absent: no. */
  readonly facts?: boolean;
}

/**
 * One machine's power. Every call resolves when the order was taken, not when it has taken effect; may reject with
 * anything, and is then made again by the core, so every one must bear repetition. Calls for one machine never overlap.
 */
export interface PowerControl {
  /** The plugin's word for where it goes, for people: `ipmi 10.0.9.3`. Never a secret. */
  readonly where: string;
  readonly features: PowerFeatures;
  /** No effect on a machine that is on. */
  on(signal: AbortSignal): Promise<void>;
  /** No effect on a machine that is off. */
  off?(signal: AbortSignal): Promise<void>;
  cycle?(signal: AbortSignal): Promise<void>;
  state?(signal: AbortSignal): Promise<PowerState>;
  netboot?(signal: AbortSignal): Promise<void>;
  /** What the controller knows; what it does not know is left out. */
  facts?(signal: AbortSignal): Promise<ControllerFacts>;
}

/** What can be asked of a machine's power. */
export type PowerAction = 'on' | 'off' | 'cycle' | 'status' | 'netboot';

export interface PowerReport {
  /** The plugin's words, see {@link PowerControl.where}. */
  readonly where: string;
  readonly state: PowerState;
}

/** The core's hold on power drivers, for operations and faces. */
export interface PowerService {
  /**
   * Carries out one order; resolves once the machine is what it was ordered to be, as far as its driver can tell.
   * DRIVER_MISSING when no plugin has its switch or the switch cannot do that; PLUGIN_FAILED; TIMED_OUT.
   */
  perform(machine: Machine, action: PowerAction, signal: AbortSignal): Promise<PowerReport>;
  /**
   * Has the machine boot from the network as far as its switch can: a one-time network boot and a cycle, else on alone.
   * False when it has no switch or the switch fails; the log says why.
   */
  bootFromNetwork(machine: Machine, signal: AbortSignal): Promise<boolean>;
  /** What its management controller knows of it; `undefined` without one that can say. Rejects as `perform` does. */
  facts(machine: Machine, signal: AbortSignal): Promise<ControllerFacts | undefined>;
}
