/** How tasks ended, by id: a task that is asked for twice is done once. */

import { join } from 'node:path';
import type { TaskReport } from '@overdub/core/agent';
import { readState, writeState } from './state-file.ts';

/** Results kept; the appliance asks again only for the newest. */
const KEPT = 50;

export type Ended = Exclude<TaskReport, { readonly state: 'running' }>;

export class Results {
  readonly #path: string;
  readonly #results: Map<string, Ended>;

  private constructor(path: string, results: Map<string, Ended>) {
    this.#path = path;
    this.#results = results;
  }

  static async open(stateDir: string): Promise<Results> {
    const path = join(stateDir, 'results.json');
    return new Results(path, new Map((await readState<[string, Ended][]>(path)) ?? []));
  }

  get(task: string): Ended | undefined {
    return this.#results.get(task);
  }

  /** Durable before it resolves: then the appliance may hear of it. */
  async put(task: string, ended: Ended): Promise<void> {
    this.#results.set(task, ended);
    for (const oldest of this.#results.keys()) {
      if (this.#results.size <= KEPT) break;
      this.#results.delete(oldest);
    }
    await writeState(this.#path, [...this.#results]);
  }
}
