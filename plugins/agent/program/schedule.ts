/** When this server's next snapshot is due, by the appliance's clock. */

import { join } from 'node:path';
import { type Clock, nextRun, type Orders } from '@overdub/core/agent';
import { readState, writeState } from './state-file.ts';

/** After a failed one, milliseconds: the cause may be lasting. */
const RETRY_MS = 30_000;

export class Schedule {
  readonly #path: string;
  readonly #clock: Clock;
  #lastRun: number | undefined;
  /** Of a server that never ran: fixed when its schedule is first seen, or it would move along with the clock. */
  #firstDue: number | undefined;
  #notBefore = 0;
  #offset = 0;
  #orders: Pick<Orders, 'schedule' | 'server'> = {};

  private constructor(path: string, clock: Clock, lastRun: number | undefined) {
    this.#path = path;
    this.#clock = clock;
    this.#lastRun = lastRun;
  }

  static async open(stateDir: string, clock: Clock): Promise<Schedule> {
    const path = join(stateDir, 'schedule.json');
    return new Schedule(path, clock, (await readState<{ lastRun: number }>(path))?.lastRun);
  }

  /** Takes over the newest schedule and the difference between the two clocks. */
  update(orders: Orders): void {
    this.#orders = orders.standing === 'assigned' ? orders : {};
    this.#offset = Date.parse(orders.now) - this.#clock.now();
  }

  /** The server to take a snapshot of, and in how many milliseconds; undefined without a schedule. */
  due(): { readonly server: string; readonly inMs: number } | undefined {
    const { schedule, server } = this.#orders;
    if (schedule === undefined || server === undefined) {
      this.#firstDue = undefined;
      return undefined;
    }
    const now = this.#clock.now() + this.#offset;
    const next = nextRun(schedule, this.#lastRun, server, now);
    if (this.#lastRun === undefined) this.#firstDue ??= next;
    const at = Math.max(this.#lastRun === undefined ? (this.#firstDue ?? next) : next, this.#notBefore);
    return { server, inMs: Math.max(0, at - now) };
  }

  async began(): Promise<void> {
    await this.#ran();
  }

  /** What came due while it ran is skipped: a server slower than its interval gets a rest all the same. */
  async ended(): Promise<void> {
    await this.#ran();
  }

  failed(): void {
    this.#notBefore = this.#clock.now() + this.#offset + RETRY_MS;
  }

  async #ran(): Promise<void> {
    this.#lastRun = this.#clock.now() + this.#offset;
    await writeState(this.#path, { lastRun: this.#lastRun });
  }
}
