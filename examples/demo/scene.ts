/** What every act of the demo works with. */

import type { Guest } from './guest.ts';
import type { DemoMaster } from './master.ts';
import type { OverdubCommand } from './overdub.ts';

/** One emulated machine, as far as the acts need it. */
export interface StageMachine {
  readonly name: string;
  readonly mac: string;
  powerOn(): Promise<void>;
  powerOff(): Promise<void>;
  /** A fresh, empty disk takes the place of the old one. */
  replaceDisk(): Promise<void>;
  /** First match on its serial console since it was switched on. */
  waitForConsole(pattern: RegExp, options: { readonly signal: AbortSignal }): Promise<RegExpExecArray>;
}

export interface Scene {
  readonly overdub: OverdubCommand;
  readonly guest: Guest;
  readonly master: DemoMaster;
  readonly machines: readonly [StageMachine, StageMachine];
  readonly appliance: { stop(): Promise<void>; start(): Promise<void> };
}
