/** The appliance of the demo: a process of its own inside the lab's network, started as a user would. */

import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabProcess } from '../../test/lab/index.ts';

/** The `overdub` command of this checkout. */
export const OVERDUB = resolve(import.meta.dirname, '../../bin/overdub.mjs');

export interface ApplianceOptions {
  /** Default: the demo's own, the DHCP server of an isolated room. */
  readonly config?: string;
}

export class DemoAppliance {
  readonly #lab: Lab;
  readonly #config: string;
  #process: LabProcess | undefined;
  #starts = 0;
  #token = '';
  #url = '';

  constructor(lab: Lab, options: ApplianceOptions = {}) {
    this.#lab = lab;
    this.#config = options.config ?? join(import.meta.dirname, 'overdub.config.ts');
  }

  get url(): string {
    return this.#url;
  }

  /** The first admin token: printed once, at the first start of a state directory. */
  get token(): string {
    return this.#token;
  }

  /** Everything it has logged since its last start. */
  log(): string {
    return this.#process?.output() ?? '';
  }

  async start(): Promise<void> {
    this.#starts += 1;
    const state = join(this.#lab.dir, 'state');
    const process = await this.#lab.start(`appliance-${this.#starts}`, [
      OVERDUB,
      'up',
      '--config',
      this.#config,
      '--state',
      state,
      '--json',
    ]);
    this.#process = process;
    while (process.running) {
      const announced = process
        .output()
        .split('\n')
        .find((line) => line.startsWith('{"url"'));
      if (announced !== undefined) {
        const { firstToken } = JSON.parse(announced) as { firstToken?: string };
        this.#url = `http://${this.#lab.address}:7077`;
        if (firstToken !== undefined) this.#token = firstToken;
        return;
      }
      await sleep(100);
    }
    throw new Error(`the appliance did not start:\n${process.output().trim()}`);
  }

  async stop(): Promise<void> {
    await this.#process?.stop(30_000);
  }
}
